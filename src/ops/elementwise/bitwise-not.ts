/** @file Inverts every bit. */
import * as k from "../../kernel/build.ts";
import { INTS } from "./factory.ts";
import { unaryOp } from "./unary-op.ts";

export const bitwiseNot = unaryOp({
  name: "bitwise_not",
  dtypes: INTS,
  js: (x) => ~x,
  big: (x) => ~x,
  expr: (x) => k.unary("not", x),
  attrs: [{}],
});
