/** @file Bitwise or of integers. */
import * as k from "../../kernel/build.ts";
import { binaryOp } from "./binary-op.ts";
import { INTS } from "./factory.ts";

export const bitwiseOr = binaryOp({
  name: "bitwise_or",
  dtypes: INTS,
  js: (x, y) => x | y,
  big: (x, y) => x | y,
  expr: (x, y) => k.binary("or", x, y),
  attrs: [{}],
});
