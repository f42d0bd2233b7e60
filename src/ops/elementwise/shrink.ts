/** @file x + bias below -lambd, x - bias above lambd, else 0. */
import * as k from "../../kernel/build.ts";
import { FLOATS, type FloatAttrs } from "./factory.ts";
import { unaryOp } from "./unary-op.ts";

export interface ShrinkAttrs extends FloatAttrs {
  readonly bias: number;
  readonly lambd: number;
}

export const shrink = unaryOp<ShrinkAttrs>({
  name: "shrink",
  dtypes: FLOATS,
  js: (x, { bias, lambd }, r) => {
    if (x < r(-lambd)) return r(x + r(bias));
    return x > r(lambd) ? r(x - r(bias)) : 0;
  },
  expr: (x, { attrs: { bias, lambd } }) => {
    const at = (value: number) => k.constant(x.type, value);
    const above = k.select(k.binary("gt", x, at(lambd)), k.sub(x, at(bias)), at(0));
    return k.select(k.lt(x, at(-lambd)), k.add(x, at(bias)), above);
  },
  exact: true,
  attrs: [
    { bias: 0, lambd: 0.5 },
    { bias: 0.3, lambd: 0.8 },
  ],
});
