/** @file The larger operand; NaN when either is NaN. */
import * as k from "../../kernel/build.ts";
import { isUnsignedWide } from "../lowering.ts";
import { binaryOp } from "./binary-op.ts";
import { NUMBERS } from "./factory.ts";

export const max = binaryOp({
  name: "max",
  dtypes: NUMBERS,
  js: (x, y) => Math.max(x, y),
  big: (x, y) => (x > y ? x : y),
  expr: (x, y, { dtype }) => k.binary(isUnsignedWide(dtype) ? "max_u" : "max", x, y),
  exact: true,
  attrs: [{}],
});
