/** @file x * x; integers wrap. */
import * as k from "../../kernel/build.ts";
import { NUMBERS } from "./factory.ts";
import { unaryOp } from "./unary-op.ts";

export const square = unaryOp({
  name: "square",
  dtypes: NUMBERS,
  js: (x, _, r) => r(x * x),
  int: (x) => Math.imul(x, x),
  big: (x) => x * x,
  expr: (x) => k.mul(x, x),
  exact: true,
  attrs: [{}],
});
