/** @file Whether each element is an infinity of the wanted signs. */
import * as k from "../../kernel/build.ts";
import { FLOATS, type FloatAttrs } from "./factory.ts";
import { unaryOp } from "./unary-op.ts";

export interface IsInfAttrs extends FloatAttrs {
  readonly negative: boolean;
  readonly positive: boolean;
}

export const isInf = unaryOp<IsInfAttrs>({
  name: "is_inf",
  dtypes: FLOATS,
  result: "bool",
  js: (x, { negative, positive }) =>
    (positive && x === Number.POSITIVE_INFINITY) || (negative && x === Number.NEGATIVE_INFINITY)
      ? 1
      : 0,
  expr: (x, { attrs: { negative, positive } }) => {
    const is = (value: number) => k.binary("eq", x, k.constant(x.type, value));
    const above = positive ? is(Number.POSITIVE_INFINITY) : k.i32(0);
    return negative ? k.binary("or", above, is(Number.NEGATIVE_INFINITY)) : above;
  },
  attrs: [
    { negative: true, positive: true },
    { negative: false, positive: true },
    { negative: true, positive: false },
  ],
  values: [Number.NaN, 1, Number.POSITIVE_INFINITY, 0, Number.NEGATIVE_INFINITY],
});
