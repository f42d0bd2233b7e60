/** @file x / 2^y rounded down. The count is taken modulo 32, or 64 for 64-bit types. */
import * as k from "../../kernel/build.ts";
import { isUnsignedWide } from "../lowering.ts";
import { binaryOp } from "./binary-op.ts";
import { INTS } from "./factory.ts";

export const shiftRight = binaryOp({
  name: "shift_right",
  dtypes: INTS,
  js: (x, y) => x >> y,
  int: (x, y, _, dtype) => (dtype === "u32" ? x >>> y : x >> y),
  big: (x, y) => x >> (y & 63n),
  expr: (x, y, { dtype }) => k.binary(isUnsignedWide(dtype) ? "shr_u" : "shr", x, y),
  attrs: [{}],
});
