/** @file gamma * (x where x > 0, else alpha * (exp(x) - 1)). */
import * as k from "../../kernel/build.ts";
import { FLOATS, type FloatAttrs } from "./factory.ts";
import { unaryOp } from "./unary-op.ts";

export interface SeluAttrs extends FloatAttrs {
  readonly alpha: number;
  readonly gamma: number;
}

export const selu = unaryOp<SeluAttrs>({
  name: "selu",
  dtypes: FLOATS,
  js: (x, { alpha, gamma }) => gamma * (x > 0 ? x : alpha * Math.expm1(x)),
  expr: (x, { attrs: { alpha, gamma } }) => {
    const at = (value: number) => k.constant(x.type, value);
    const tail = k.mul(at(alpha), k.call("expm1", x));
    return k.mul(at(gamma), k.select(k.binary("gt", x, at(0)), x, tail));
  },
  attrs: [{ alpha: 1.6732632, gamma: 1.050701 }],
});
