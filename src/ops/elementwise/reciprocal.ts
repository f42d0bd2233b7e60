/** @file 1 / x. */
import * as k from "../../kernel/build.ts";
import { FLOATS } from "./factory.ts";
import { unaryOp } from "./unary-op.ts";

export const reciprocal = unaryOp({
  name: "reciprocal",
  dtypes: FLOATS,
  js: (x, _, r) => r(1 / x),
  expr: (x) => k.binary("div", k.constant(x.type, 1), x),
  exact: true,
  attrs: [{}],
  range: [0.2, 3],
});
