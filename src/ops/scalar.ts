/**
 * @file Scalar functions an operator can apply to its result before storing it (`Activation`), and
 * the definitions of the element-wise operators of the same names. `js` is the oracle, `expr` the
 * kernel form for f32, f64 and f32xN.
 */

import type { Activation } from "../graph/op.ts";
import { add, binary, call, constant, max, min, mul, select, unary } from "../kernel/build.ts";
import type { Expr } from "../kernel/ir.ts";
import { erf, sigmoid, softplus } from "./special.ts";

/** The attributes of the activation: numbers and mode names. */
export type ScalarParams = object;

export interface ScalarFn {
  /** The function in f32: the argument and the result are f32 values. */
  js(x: number, p: ScalarParams): number;
  /** The same on numbers that are rounded by `r` where the kernel form rounds (f64: not at all). */
  rounded(x: number, p: ScalarParams, r: (x: number) => number): number;
  /** Kernel form of any float register type; `x` may be used more than once: pass a variable. */
  expr(x: Expr, p: ScalarParams): Expr;
  /** Pure clamps only: the function is clamp(x, lo, hi). */
  bounds?(p: ScalarParams): readonly [lo: number, hi: number];
}

type Params = Readonly<Record<string, number>>;
type Round = (x: number) => number;

const num = (p: ScalarParams, name: string): number => (p as Params)[name]!;
const lit = (x: Expr, value: number): Expr => constant(x.type, value);
const gt = (x: Expr, y: Expr): Expr => binary("gt", x, y);

function scalar(
  rounded: (x: number, p: ScalarParams, r: Round) => number,
  expr: (x: Expr, p: ScalarParams) => Expr,
  bounds?: (p: ScalarParams) => readonly [number, number],
): ScalarFn {
  const fn: ScalarFn = { js: (x, p) => Math.fround(rounded(x, p, Math.fround)), rounded, expr };
  return bounds === undefined ? fn : { ...fn, bounds };
}

/** x clamped to [lo, hi]; a bound that is infinite costs nothing. NaN stays NaN. */
function clampExpr(x: Expr, lo: number, hi: number): Expr {
  const floor = lo === Number.NEGATIVE_INFINITY ? x : max(x, lit(x, lo));
  return hi === Number.POSITIVE_INFINITY ? floor : min(floor, lit(x, hi));
}

const clip = scalar(
  (x, p, r) => Math.min(Math.max(x, r(num(p, "min"))), r(num(p, "max"))),
  (x, p) => clampExpr(x, num(p, "min"), num(p, "max")),
  (p) => [num(p, "min"), num(p, "max")],
);

const hardSigmoid = scalar(
  (x, p, r) => Math.max(0, Math.min(1, r(r(r(num(p, "alpha")) * x) + r(num(p, "beta"))))),
  (x, p) => {
    const line = add(mul(lit(x, num(p, "alpha")), x), lit(x, num(p, "beta")));
    return clampExpr(line, 0, 1);
  },
);

/** x * clamp(x + 3, 0, 6) / 6, multiplied by the reciprocal. */
const hardSwish = scalar(
  (x, _, r) => r(x * r(Math.max(0, Math.min(6, r(x + 3))) * r(1 / 6))),
  (x) => mul(x, mul(clampExpr(add(x, lit(x, 3)), 0, 6), lit(x, 1 / 6))),
);

const leakyRelu = scalar(
  (x, p, r) => (x >= 0 ? x : r(r(num(p, "alpha")) * x)),
  (x, p) => select(binary("ge", x, lit(x, 0)), x, mul(lit(x, num(p, "alpha")), x)),
);

const elu = scalar(
  (x, p, r) => (x > 0 ? x : r(num(p, "alpha")) * Math.expm1(x)),
  (x, p) => select(gt(x, lit(x, 0)), x, mul(lit(x, num(p, "alpha")), call("expm1", x))),
);

const GELU_CUBIC = 0.044715;

/**
 * approximate "none": x/2 (1 + erf(x/sqrt 2)); "tanh": x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715
 * x^3))).
 */
const gelu = scalar(
  (x, p) => {
    if (x === Number.NEGATIVE_INFINITY) return -0;
    const tanh = (p as { readonly approximate?: string }).approximate === "tanh";
    const inner = tanh
      ? Math.tanh(Math.sqrt(2 / Math.PI) * (x + GELU_CUBIC * x ** 3))
      : erf(x * Math.SQRT1_2);
    return 0.5 * x * (1 + inner);
  },
  (x, p) => {
    const tanh = (p as { readonly approximate?: string }).approximate === "tanh";
    const cubic = add(x, mul(lit(x, GELU_CUBIC), mul(x, mul(x, x))));
    const inner = tanh
      ? call("tanh", mul(lit(x, Math.sqrt(2 / Math.PI)), cubic))
      : call("erf", mul(x, lit(x, Math.SQRT1_2)));
    const finite = max(x, lit(x, -1e30));
    return mul(mul(lit(x, 0.5), finite), add(lit(x, 1), inner));
  },
);

const softplusExpr = (x: Expr): Expr => {
  const tail = call("log1p", call("exp", unary("neg", unary("abs", x))));
  return add(max(x, lit(x, 0)), tail);
};

/** x times a gate in [0, 1]; minus infinity gives 0. */
const gated = (x: Expr, gate: Expr): Expr => mul(max(x, lit(x, -1e30)), gate);

const swish = scalar(
  (x, p, r) => {
    if (x === Number.NEGATIVE_INFINITY && num(p, "alpha") > 0) return -0;
    return x * sigmoid(r(r(num(p, "alpha")) * x));
  },
  (x, p) => gated(x, call("sigmoid", mul(lit(x, num(p, "alpha")), x))),
);

/** x * scale + shift, each rounded; what does nothing is left out. */
const affine = scalar(
  (x, p, r) => {
    const [scale, shift] = [num(p, "scale"), num(p, "shift")];
    const scaled = scale === 1 ? x : r(r(scale) * x);
    return shift === 0 ? scaled : r(scaled + r(shift));
  },
  (x, p) => {
    const [scale, shift] = [num(p, "scale"), num(p, "shift")];
    const scaled = scale === 1 ? x : mul(x, lit(x, scale));
    return shift === 0 ? scaled : add(scaled, lit(x, shift));
  },
);

/** The functions of a chain, in order of application. */
export const stepsOf = (p: ScalarParams): readonly Activation[] =>
  (p as { readonly steps: readonly Activation[] }).steps;

const chain = scalar(
  (x, p, r) => stepsOf(p).reduce((v, step) => r(SCALARS[step.fn]!.rounded(v, step, r)), x),
  (x, p) => stepsOf(p).reduce((v, step) => SCALARS[step.fn]!.expr(v, step), x),
);

/** Every scalar function by name; most names are also those of element-wise operators. */
export const SCALARS: Readonly<Record<string, ScalarFn>> = {
  affine,
  chain,
  relu: scalar(
    (x) => Math.max(x, 0),
    (x) => max(x, lit(x, 0)),
    () => [0, Number.POSITIVE_INFINITY],
  ),
  clip,
  sigmoid: scalar(sigmoid, (x) => call("sigmoid", x)),
  tanh: scalar(Math.tanh, (x) => call("tanh", x)),
  leaky_relu: leakyRelu,
  elu,
  gelu,
  hard_sigmoid: hardSigmoid,
  hard_swish: hardSwish,
  softplus: scalar(softplus, softplusExpr),
  swish,
};
