/** @file Derivatives of element-wise functions of one operand. */
import type { Value } from "../../graph/graph.ts";
import type { Attrs, Op } from "../../graph/op.ts";
import { elementwiseOps as e } from "../../ops/elementwise/index.ts";
import { isFloat } from "../../tensor/dtype.ts";
import { Calc, num } from "../calc.ts";
import { defineSingle, defineVjp, type VjpRule } from "../rule.ts";

/** What a derivative is written in: the operand, the result, the cotangent, and arithmetic. */
interface At<A> {
  readonly x: Value;
  readonly y: Value;
  readonly ct: Value;
  readonly c: Calc;
  readonly attrs: A;
  /** Another function of one operand. */
  f(op: Op, v: Value): Value;
}

/** The cotangent of the operand. */
const unary = <A extends Attrs>(op: Op<A>, f: (at: At<A>) => Value): VjpRule =>
  defineSingle(op, (ct, b) => {
    const c = new Calc(b.g);
    const apply = (g: Op, v: Value): Value => b.g.apply(g, [v]);
    return [f({ x: b.ins[0]!, y: b.outs[0]!, ct, c, attrs: b.attrs, f: apply })];
  });

/** Functions that are constant between jumps. */
const flat = (op: Op): VjpRule => defineVjp(op, (b) => b.ins.map(() => null));

const TWO_OVER_ROOT_PI = 2 / Math.sqrt(Math.PI);
const ROOT_TWO_PI = Math.sqrt(2 * Math.PI);

/** 1 - y * y. */
const oneMinusSquare = (c: Calc, y: Value): Value => c.sub(num(1), c.mul(y, y));

const gelu = unary(e.gelu, ({ x, ct, c, attrs, f }) => {
  if (attrs.approximate === "none") {
    const cdf = c.mul(c.add(f(e.erf, c.mul(x, num(Math.SQRT1_2))), num(1)), num(0.5));
    const density = c.div(f(e.exp, c.mul(c.mul(x, x), num(-0.5))), num(ROOT_TWO_PI));
    return c.mul(ct, c.add(cdf, c.mul(x, density)));
  }
  const [k, a] = [Math.sqrt(2 / Math.PI), 0.044715];
  const square = c.mul(x, x);
  const t = f(e.tanh, c.mul(c.mul(x, c.add(c.mul(square, num(a)), num(1))), num(k)));
  const inner = c.mul(c.add(c.mul(square, num(3 * a)), num(1)), num(k));
  const slope = c.mul(c.mul(x, oneMinusSquare(c, t)), inner);
  return c.mul(ct, c.mul(c.add(c.add(t, num(1)), slope), num(0.5)));
});

const mish = unary(e.mish, ({ x, ct, c, f }) => {
  const t = f(e.tanh, f(e.softplus, x));
  const slope = c.mul(c.mul(x, oneMinusSquare(c, t)), f(e.sigmoid, x));
  return c.mul(ct, c.add(t, slope));
});

const swish = unary(e.swish, ({ x, ct, c, attrs, f }) => {
  const s = f(e.sigmoid, c.mul(x, num(attrs.alpha)));
  const slope = c.mul(c.mul(c.mul(x, s), c.sub(num(1), s)), num(attrs.alpha));
  return c.mul(ct, c.add(s, slope));
});

const hardSwish = unary(e.hard_swish, ({ x, ct, c }) => {
  const middle = c.div(c.add(c.mul(x, num(2)), num(3)), num(6));
  const upper = c.select(c.compare(e.less, x, num(3)), middle, num(1));
  return c.mul(ct, c.keep(c.compare(e.greater, x, num(-3)), upper));
});

export const unaryRules: readonly VjpRule[] = [
  unary(e.abs, ({ x, ct, c, f }) => c.mul(ct, f(e.sign, x))),
  unary(e.acos, ({ x, ct, c, f }) => c.neg(c.div(ct, f(e.sqrt, oneMinusSquare(c, x))))),
  unary(e.acosh, ({ x, ct, c, f }) => c.div(ct, f(e.sqrt, c.sub(c.mul(x, x), num(1))))),
  unary(e.asin, ({ x, ct, c, f }) => c.div(ct, f(e.sqrt, oneMinusSquare(c, x)))),
  unary(e.asinh, ({ x, ct, c, f }) => c.div(ct, f(e.sqrt, c.add(c.mul(x, x), num(1))))),
  unary(e.atan, ({ x, ct, c }) => c.div(ct, c.add(c.mul(x, x), num(1)))),
  unary(e.atanh, ({ x, ct, c }) => c.div(ct, oneMinusSquare(c, x))),
  unary(e.celu, ({ x, ct, c, attrs, f }) => {
    const below = f(e.exp, c.div(x, num(attrs.alpha)));
    return c.mul(ct, c.select(c.compare(e.greater, x, num(0)), num(1), below));
  }),
  unary(e.clip, ({ x, ct, c, attrs }) => {
    const above = c.keep(c.compare(e.greater_equal, x, num(attrs.min)), ct);
    return c.keep(c.compare(e.less_equal, x, num(attrs.max)), above);
  }),
  unary(e.cos, ({ x, ct, c, f }) => c.neg(c.mul(ct, f(e.sin, x)))),
  unary(e.cosh, ({ x, ct, c, f }) => c.mul(ct, f(e.sinh, x))),
  unary(e.elu, ({ x, y, ct, c, attrs }) =>
    c.mul(ct, c.select(c.compare(e.greater, x, num(0)), num(1), c.add(y, num(attrs.alpha)))),
  ),
  unary(e.erf, ({ x, ct, c, f }) =>
    c.mul(ct, c.mul(f(e.exp, c.neg(c.mul(x, x))), num(TWO_OVER_ROOT_PI))),
  ),
  unary(e.exp, ({ y, ct, c }) => c.mul(ct, y)),
  gelu,
  unary(e.hard_sigmoid, ({ y, ct, c, attrs }) => {
    const inside = c.keep(c.compare(e.greater, y, num(0)), ct);
    return c.mul(c.keep(c.compare(e.less, y, num(1)), inside), num(attrs.alpha));
  }),
  hardSwish,
  unary(e.identity, ({ ct }) => ct),
  unary(e.leaky_relu, ({ x, ct, c, attrs }) =>
    c.select(c.compare(e.less, x, num(0)), c.mul(ct, num(attrs.alpha)), ct),
  ),
  unary(e.log, ({ x, ct, c }) => c.div(ct, x)),
  mish,
  unary(e.neg, ({ ct, c }) => c.neg(ct)),
  unary(e.reciprocal, ({ y, ct, c }) => c.neg(c.mul(ct, c.mul(y, y)))),
  unary(e.relu, ({ y, ct, c }) => c.g.apply(e.relu_backward, [ct, y])),
  unary(e.selu, ({ x, y, ct, c, attrs }) => {
    const below = c.add(y, num(attrs.gamma * attrs.alpha));
    return c.mul(ct, c.select(c.compare(e.greater, x, num(0)), num(attrs.gamma), below));
  }),
  unary(e.shrink, ({ x, ct, c, attrs, f }) =>
    c.keep(c.compare(e.greater, f(e.abs, x), num(attrs.lambd)), ct),
  ),
  unary(e.sigmoid, ({ y, ct, c }) => c.mul(ct, c.mul(y, c.sub(num(1), y)))),
  unary(e.sin, ({ x, ct, c, f }) => c.mul(ct, f(e.cos, x))),
  unary(e.sinh, ({ x, ct, c, f }) => c.mul(ct, f(e.cosh, x))),
  unary(e.softplus, ({ x, ct, c, f }) => c.mul(ct, f(e.sigmoid, x))),
  unary(e.softsign, ({ x, ct, c, f }) => {
    const d = c.add(f(e.abs, x), num(1));
    return c.div(ct, c.mul(d, d));
  }),
  unary(e.sqrt, ({ y, ct, c }) => c.div(ct, c.mul(y, num(2)))),
  unary(e.square, ({ x, ct, c }) => c.mul(ct, c.mul(x, num(2)))),
  swish,
  unary(e.tan, ({ y, ct, c }) => c.mul(ct, c.add(c.mul(y, y), num(1)))),
  unary(e.tanh, ({ y, ct, c }) => c.mul(ct, oneMinusSquare(c, y))),
  unary(e.thresholded_relu, ({ x, ct, c, attrs }) =>
    c.keep(c.compare(e.greater, x, num(attrs.alpha)), ct),
  ),
  ...[e.ceil, e.floor, e.round, e.sign, e.is_inf, e.is_nan, e.not, e.bitwise_not].map((op) =>
    flat(op),
  ),
  defineSingle(e.cast, (ct, b) => {
    const { dtype } = b.type(b.ins[0]!);
    return [isFloat(dtype) && isFloat(b.attrs.to) ? b.g.apply(e.cast, [ct], { to: dtype }) : null];
  }),
];
