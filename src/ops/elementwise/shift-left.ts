/** @file x * 2^y, wrapping. The count is taken modulo 32, or 64 for 64-bit types. */
import * as k from "../../kernel/build.ts";
import { binaryOp } from "./binary-op.ts";
import { INTS } from "./factory.ts";

export const shiftLeft = binaryOp({
  name: "shift_left",
  dtypes: INTS,
  js: (x, y) => x << y,
  big: (x, y) => x << (y & 63n),
  expr: (x, y) => k.binary("shl", x, y),
  attrs: [{}],
});
