/** @file x * tanh(softplus(x)). */
import * as k from "../../kernel/build.ts";
import { SCALARS } from "../scalar.ts";
import { softplus } from "../special.ts";
import { FLOATS } from "./factory.ts";
import { unaryOp } from "./unary-op.ts";

export const mish = unaryOp({
  name: "mish",
  dtypes: FLOATS,
  js: (x) => (x === Number.NEGATIVE_INFINITY ? -0 : x * Math.tanh(softplus(x))),
  expr: (x) => {
    const finite = k.max(x, k.constant(x.type, -1e30));
    return k.mul(finite, k.call("tanh", SCALARS["softplus"]!.expr(x, {})));
  },
  attrs: [{}],
});
