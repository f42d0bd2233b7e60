/** @file Bitwise xor of integers. */
import * as k from "../../kernel/build.ts";
import { binaryOp } from "./binary-op.ts";
import { INTS } from "./factory.ts";

export const bitwiseXor = binaryOp({
  name: "bitwise_xor",
  dtypes: INTS,
  js: (x, y) => x ^ y,
  big: (x, y) => x ^ y,
  expr: (x, y) => k.binary("xor", x, y),
  attrs: [{}],
});
