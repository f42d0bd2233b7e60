/** @file The smaller operand; NaN when either is NaN. */
import * as k from "../../kernel/build.ts";
import { isUnsignedWide } from "../lowering.ts";
import { binaryOp } from "./binary-op.ts";
import { NUMBERS } from "./factory.ts";

export const min = binaryOp({
  name: "min",
  dtypes: NUMBERS,
  js: (x, y) => Math.min(x, y),
  big: (x, y) => (x < y ? x : y),
  expr: (x, y, { dtype }) => k.binary(isUnsignedWide(dtype) ? "min_u" : "min", x, y),
  exact: true,
  attrs: [{}],
});
