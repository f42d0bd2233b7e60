/** @file Negation; integers wrap. */
import * as k from "../../kernel/build.ts";
import { isFloat } from "../../tensor/dtype.ts";
import { SIGNED, zeroOf } from "./factory.ts";
import { unaryOp } from "./unary-op.ts";

export const neg = unaryOp({
  name: "neg",
  dtypes: SIGNED,
  js: (x) => -x,
  big: (x) => -x,
  expr: (x, { dtype }) => (isFloat(dtype) ? k.unary("neg", x) : k.sub(zeroOf(x), x)),
  exact: true,
  attrs: [{}],
});
