/** @file Square root. */
import * as k from "../../kernel/build.ts";
import { FLOATS } from "./factory.ts";
import { unaryOp } from "./unary-op.ts";

export const sqrt = unaryOp({
  name: "sqrt",
  dtypes: FLOATS,
  js: (x, _, r) => r(Math.sqrt(x)),
  expr: (x) => k.unary("sqrt", x),
  exact: true,
  attrs: [{}],
  range: [0, 4],
});
