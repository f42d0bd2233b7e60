/** @file x <= y, element by element. */
import * as k from "../../kernel/build.ts";
import { isUnsignedWide } from "../lowering.ts";
import { binaryOp } from "./binary-op.ts";
import { NUMBERS } from "./factory.ts";

export const lessEqual = binaryOp({
  name: "less_equal",
  dtypes: NUMBERS,
  result: "bool",
  js: (x, y) => (x <= y ? 1 : 0),
  big: (x, y) => (x <= y ? 1n : 0n),
  expr: (x, y, { dtype }) => k.binary(isUnsignedWide(dtype) ? "le_u" : "le", x, y),
  attrs: [{}],
});
