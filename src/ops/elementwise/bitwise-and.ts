/** @file Bitwise and of integers. */
import * as k from "../../kernel/build.ts";
import { binaryOp } from "./binary-op.ts";
import { INTS } from "./factory.ts";

export const bitwiseAnd = binaryOp({
  name: "bitwise_and",
  dtypes: INTS,
  js: (x, y) => x & y,
  big: (x, y) => x & y,
  expr: (x, y) => k.binary("and", x, y),
  attrs: [{}],
});
