/** @file x / (1 + |x|). */
import * as k from "../../kernel/build.ts";
import { FLOATS } from "./factory.ts";
import { unaryOp } from "./unary-op.ts";

export const softsign = unaryOp({
  name: "softsign",
  dtypes: FLOATS,
  js: (x, _, r) => r(x / r(1 + Math.abs(x))),
  expr: (x) => k.binary("div", x, k.add(k.constant(x.type, 1), k.unary("abs", x))),
  exact: true,
  attrs: [{}],
});
