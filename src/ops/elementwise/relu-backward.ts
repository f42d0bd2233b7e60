/** @file The first operand where the second, the result of a ReLU, is positive; else 0. */
import * as k from "../../kernel/build.ts";
import { binaryOp } from "./binary-op.ts";
import { FLOATS } from "./factory.ts";

export const reluBackward = binaryOp({
  name: "relu_backward",
  dtypes: FLOATS,
  js: (ct, y) => (y > 0 ? ct : 0),
  expr: (ct, y) => k.select(k.binary("gt", y, k.constant(y.type, 0)), ct, k.constant(ct.type, 0)),
  exact: true,
  attrs: [{}],
});
