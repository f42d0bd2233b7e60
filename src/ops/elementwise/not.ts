/** @file Logical negation of bool. */
import * as k from "../../kernel/build.ts";
import { unaryOp } from "./unary-op.ts";

export const not = unaryOp({
  name: "not",
  dtypes: ["bool"],
  js: (x) => (x === 0 ? 1 : 0),
  expr: (x) => k.binary("eq", x, k.i32(0)),
  attrs: [{}],
});
