/** @file x < y, element by element. */
import * as k from "../../kernel/build.ts";
import { isUnsignedWide } from "../lowering.ts";
import { binaryOp } from "./binary-op.ts";
import { NUMBERS } from "./factory.ts";

export const less = binaryOp({
  name: "less",
  dtypes: NUMBERS,
  result: "bool",
  js: (x, y) => (x < y ? 1 : 0),
  big: (x, y) => (x < y ? 1n : 0n),
  expr: (x, y, { dtype }) => k.binary(isUnsignedWide(dtype) ? "lt_u" : "lt", x, y),
  attrs: [{}],
});
