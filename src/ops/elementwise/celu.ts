/** @file max(0, x) + min(0, alpha * (exp(x / alpha) - 1)). */
import * as k from "../../kernel/build.ts";
import { FLOATS, type FloatAttrs } from "./factory.ts";
import { unaryOp } from "./unary-op.ts";

export interface CeluAttrs extends FloatAttrs {
  readonly alpha: number;
}

export const celu = unaryOp<CeluAttrs>({
  name: "celu",
  dtypes: FLOATS,
  js: (x, { alpha }) => Math.max(0, x) + Math.min(0, alpha * Math.expm1(x / alpha)),
  expr: (x, { attrs: { alpha } }) => {
    const at = (value: number) => k.constant(x.type, value);
    const tail = k.mul(at(alpha), k.call("expm1", k.binary("div", x, at(alpha))));
    return k.add(k.max(x, at(0)), k.min(tail, at(0)));
  },
  attrs: [{ alpha: 1 }, { alpha: 2 }],
});
