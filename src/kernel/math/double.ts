/**
 * @file The f64 functions: Taylor series after range reduction, within about 1e-14 of the true value.
 * The rarely used f32 functions are these, rounded.
 */
import { add, binary, fma, max, min, mul, select, sub, unary } from "../build.ts";
import type { Expr } from "../ir.ts";
import { abs, copySign, lessThan, poly, scaleByPower, splitPower } from "./common.ts";
import type { MathBuilder } from "./function.ts";

const LN2_HI = 0.6931471803691238;
const LN2_LO = 1.9082149292705877e-10;
const INFINITY = Number.POSITIVE_INFINITY;

export const div = (a: Expr, b: Expr): Expr => binary("div", a, b);
export const sqrt = (a: Expr): Expr => unary("sqrt", a);

/** n values f(0), f(1), … */
export const series = (n: number, f: (i: number) => number): number[] =>
  Array.from({ length: n }, (_, i) => f(i));

export function factorial(n: number): number {
  let p = 1;
  for (let i = 2; i <= n; i++) p *= i;
  return p;
}

const EXP = series(15, (n) => 1 / factorial(n));

export function exp(m: MathBuilder, x: Expr): Expr {
  const inside = m.let("x", min(max(x, m.num(-746)), m.num(710)));
  const k = m.let("k", unary("nearest", mul(inside, m.num(Math.LOG2E))));
  const high = m.let("high", sub(inside, mul(k, m.num(LN2_HI))));
  const r = m.let("r", sub(high, mul(k, m.num(LN2_LO))));
  return scaleByPower(m, m.let("y", poly(r, EXP)), k, true);
}

export function exp2(m: MathBuilder, x: Expr): Expr {
  const inside = m.let("x", min(max(x, m.num(-1080)), m.num(1030)));
  const k = m.let("k", unary("nearest", inside));
  const r = m.let("r", mul(sub(inside, k), m.num(Math.LN2)));
  return scaleByPower(m, m.let("y", poly(r, EXP)), k, true);
}

const EXPM1 = series(15, (n) => 1 / factorial(n + 1));

export function expm1(m: MathBuilder, x: Expr): Expr {
  const near = mul(x, poly(x, EXPM1));
  return select(lessThan(abs(x), m.num(0.35)), near, sub(exp(m, x), m.num(1)));
}

/** 2 atanh(s) = log((1 + s) / (1 - s)) as 2 s (1 + s^2/3 + …), for |s| <= 0.1716. */
const ATANH = series(12, (n) => 2 / (2 * n + 1));

function logOfRatio(m: MathBuilder, s: Expr): Expr {
  const z = m.let("z", mul(s, s));
  return mul(s, poly(z, ATANH));
}

export function log(m: MathBuilder, x: Expr): Expr {
  const tiny = m.let("tiny", lessThan(x, m.num(2 ** -1022)));
  const scaled = m.let("scaled", select(tiny, mul(x, m.num(2 ** 54)), x));
  const { k, f } = splitPower(m, scaled);
  const e = m.let("e", select(tiny, sub(k, m.num(54)), k));
  const s = m.let("s", div(f, add(m.num(2), f)));
  const fraction = add(logOfRatio(m, s), mul(e, m.num(LN2_LO)));
  const y = m.let("y", add(mul(e, m.num(LN2_HI)), fraction));
  const edge = select(binary("eq", x, m.num(0)), m.num(-INFINITY), m.num(Number.NaN));
  const finite = lessThan(x, m.num(INFINITY));
  return select(binary("le", x, m.num(0)), edge, select(finite, y, x));
}

export function log1p(m: MathBuilder, x: Expr): Expr {
  const s = m.let("s", div(x, add(m.num(2), x)));
  const near = logOfRatio(m, s);
  const far = log(m, m.let("u", add(m.num(1), x)));
  return select(lessThan(abs(x), m.num(0.29)), near, far);
}

export function tanh(m: MathBuilder, x: Expr): Expr {
  const a = min(abs(x), m.num(20));
  const e = m.let("e", expm1(m, m.let("twice", mul(a, m.num(2)))));
  return copySign(div(e, add(e, m.num(2))), x);
}

export function sigmoid(m: MathBuilder, x: Expr): Expr {
  const e = m.let("e", exp(m, m.let("a", unary("neg", abs(x)))));
  return div(select(lessThan(x, m.num(0)), e, m.num(1)), add(m.num(1), e));
}

export function sinh(m: MathBuilder, x: Expr): Expr {
  const a = m.let("a", abs(x));
  const e = m.let("e", expm1(m, a));
  const near = mul(add(e, div(e, add(e, m.num(1)))), m.num(0.5));
  const root = m.let("root", exp(m, m.let("h", mul(a, m.num(0.5)))));
  const far = mul(mul(root, m.num(0.5)), root);
  return copySign(select(lessThan(a, m.num(700)), near, far), x);
}

export function cosh(m: MathBuilder, x: Expr): Expr {
  const root = m.let("root", exp(m, m.let("h", mul(abs(x), m.num(0.5)))));
  const whole = m.let("whole", mul(root, m.num(0.5)));
  return fma(whole, root, div(m.num(0.5), mul(root, root)));
}

export function asinh(m: MathBuilder, x: Expr): Expr {
  const a = m.let("a", abs(x));
  const z = m.let("z", mul(a, a));
  const sum = add(a, div(z, add(m.num(1), sqrt(add(z, m.num(1))))));
  const near = log1p(m, m.let("near", sum));
  const far = add(log(m, a), m.num(Math.LN2));
  return copySign(select(lessThan(a, m.num(1e9)), near, far), x);
}

export function acosh(m: MathBuilder, x: Expr): Expr {
  const t = m.let("t", sub(x, m.num(1)));
  const near = log1p(m, m.let("near", add(t, sqrt(add(mul(t, m.num(2)), mul(t, t))))));
  const far = add(log(m, x), m.num(Math.LN2));
  const value = select(lessThan(m.num(1e9), x), far, near);
  return select(lessThan(x, m.num(1)), m.num(Number.NaN), value);
}

export function atanh(m: MathBuilder, x: Expr): Expr {
  const a = m.let("a", abs(x));
  const ratio = m.let("ratio", div(mul(a, m.num(2)), sub(m.num(1), a)));
  return copySign(mul(log1p(m, ratio), m.num(0.5)), x);
}

/** x^y from 2^(y log2 x); integral y keeps the sign of negative x. */
export function pow(m: MathBuilder, x: Expr, y: Expr): Expr {
  const a = m.let("a", abs(x));
  const magnitude = m.let("magnitude", exp(m, m.let("power", mul(y, log(m, a)))));
  const half = mul(y, m.num(0.5));
  const odd = binary("and", integral(y), binary("ne", unary("trunc", half), half));
  const negative = lessThan(copySign(m.num(1), x), m.num(0));
  const signed = select(binary("and", negative, odd), unary("neg", magnitude), magnitude);
  const infinite = binary("eq", a, m.num(INFINITY));
  const real = binary("or", integral(y), binary("or", binary("eq", a, m.num(0)), infinite));
  const bad = binary("and", lessThan(x, m.num(0)), unaryNot(real));
  const value = select(bad, m.num(Number.NaN), signed);
  const unit = binary("and", binary("eq", a, m.num(1)), binary("eq", abs(y), m.num(INFINITY)));
  const one = binary(
    "or",
    binary("or", binary("eq", y, m.num(0)), binary("eq", x, m.num(1))),
    unit,
  );
  return select(one, m.num(1), value);
}

const integral = (y: Expr): Expr => binary("eq", unary("trunc", y), y);
const unaryNot = (x: Expr): Expr => binary("xor", x, 1);

/** erf(x) / x in x^2, for |x| <= 1. */
const ERF_NEAR = series(
  18,
  (n) => ((2 / Math.sqrt(Math.PI)) * (n % 2 === 0 ? 1 : -1)) / (factorial(n) * (2 * n + 1)),
);
/** e^(x^2) (1 - erf(x)) on [0.9, 6.2] in u, where 1 / (1 + x / 2) runs over the interval below. */
const ERF_FAR = [
  0.22805616638945925, 0.17656893040767271, 0.04491208615777755, 0.00688032970520364,
  0.00023654158635727382, -0.0001156182008223245, -1.0151406277537496e-5, 3.2531100865590623e-6,
  2.36650463951576e-7, -1.2859225114203512e-7, 1.057567083262154e-9, 5.222488191568093e-9,
  -6.532634119915488e-10, -1.5089603117961338e-10, 3.674335574835434e-11, 2.041795517586876e-13,
  2.604556149844606e-12,
];
const FAR_LOW = 0.24390243902439027;
const FAR_HIGH = 0.6896551724137931;

export function erf(m: MathBuilder, x: Expr): Expr {
  const a = m.let("a", min(abs(x), m.num(6.2)));
  const z = m.let("z", mul(a, a));
  const near = mul(a, poly(z, ERF_NEAR));
  const t = div(m.num(1), fma(a, m.num(0.5), m.num(1)));
  const scale = 2 / (FAR_HIGH - FAR_LOW);
  const middle = (FAR_HIGH + FAR_LOW) / 2;
  const u = m.let("u", mul(sub(t, m.num(middle)), m.num(scale)));
  const e = m.let("e", exp(m, unary("neg", z)));
  const far = sub(m.num(1), mul(e, poly(u, ERF_FAR)));
  return copySign(select(lessThan(a, m.num(1)), near, far), x);
}
