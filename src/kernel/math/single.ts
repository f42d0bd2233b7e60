/**
 * @file Fast f32 functions, branch-free and lane-generic. Polynomials are minimax fits of the stated
 * function on the stated interval, coefficients rounded to f32.
 */
import { add, binary, fma, max, min, mul, select, sub, unary } from "../build.ts";
import type { Expr } from "../ir.ts";
import {
  abs,
  copySign,
  lessThan,
  poly,
  roundProduct,
  scaleByRounded,
  splitPower,
  whereZero,
} from "./common.ts";
import type { MathBuilder } from "./function.ts";

const LN2_HI = 0.693115234375;
const LN2_LO = 3.1946184945309415e-5;
const div = (a: Expr, b: Expr): Expr => binary("div", a, b);

/** (e^r - 1 - r) / r^2 on |r| <= ln(2) / 2. */
const EXP = [
  0.5, 0.16666512191295624, 0.0416661873459816, 0.008369598537683487, 0.0013951719738543034,
];

/** e^x for x in [-104, 89], or with `wide` false in [-87, 88]. */
export function expCore(m: MathBuilder, x: Expr, wide: boolean): Expr {
  const k = roundProduct(m, x, m.num(Math.LOG2E));
  const high = m.let("high", fma(k.float, m.num(-LN2_HI), x));
  const r = m.let("r", fma(k.float, m.num(-LN2_LO), high));
  const y = m.let("y", add(m.num(1), fma(mul(r, r), poly(r, EXP), r)));
  return scaleByRounded(m, y, k, wide);
}

export function exp(m: MathBuilder, x: Expr): Expr {
  const inside = m.let("x", min(max(x, m.num(-104)), m.num(89)));
  return expCore(m, inside, true);
}

export function exp2(m: MathBuilder, x: Expr): Expr {
  const inside = m.let("x", min(max(x, m.num(-151)), m.num(129)));
  const k = roundProduct(m, inside, m.num(1));
  const r = m.let("r", mul(sub(inside, k.float), m.num(Math.LN2)));
  const y = m.let("y", add(m.num(1), fma(mul(r, r), poly(r, EXP), r)));
  return scaleByRounded(m, y, k, true);
}

/** (e^x - 1 - x) / x^2 on |x| <= 0.36. */
const EXPM1 = [
  0.5, 0.1666666567325592, 0.04166631028056145, 0.008333398960530758, 0.001394468592479825,
  0.0001984619302675128,
];

export function expm1(m: MathBuilder, x: Expr): Expr {
  const near = fma(mul(x, x), poly(x, EXPM1), x);
  const far = sub(exp(m, x), m.num(1));
  const result = select(lessThan(abs(x), m.num(0.35)), near, far);
  return whereZero(m, x, x, result);
}

/** (log(1 + f) - f + f^2 / 2) / f^3 on [sqrt(1/2) - 1, sqrt(2) - 1]. */
const LOG = [
  0.3333331346511841, -0.25000008940696716, 0.20002147555351257, -0.16668055951595306,
  0.14218954741954803, -0.12404026836156845, 0.11891307681798935, -0.11687221378087997,
  0.0675380676984787,
];

export function log(m: MathBuilder, x: Expr): Expr {
  const tiny = m.let("tiny", lessThan(x, m.num(2 ** -126)));
  const scaled = m.let("scaled", select(tiny, mul(x, m.num(2 ** 25)), x));
  const { k, f } = splitPower(m, scaled);
  const e = m.let("e", select(tiny, sub(k, m.num(25)), k));
  const square = m.let("square", mul(f, f));
  const tail = fma(e, m.num(LN2_LO), mul(mul(f, square), poly(f, LOG)));
  const fraction = add(f, fma(square, m.num(-0.5), tail));
  const y = m.let("y", fma(e, m.num(LN2_HI), fraction));
  const finite = lessThan(x, m.num(Number.POSITIVE_INFINITY));
  const edge = select(
    binary("eq", x, m.num(0)),
    m.num(Number.NEGATIVE_INFINITY),
    m.num(Number.NaN),
  );
  // +inf gives +inf; NaN fails every comparison and passes through x.
  return select(binary("le", x, m.num(0)), edge, select(finite, y, x));
}

/** log(1 + x): the rounding of 1 + x is made good to first order. */
export function log1p(m: MathBuilder, x: Expr): Expr {
  const u = m.let("u", add(m.num(1), x));
  const lost = div(sub(x, sub(u, m.num(1))), u);
  const inside = lessThan(abs(sub(x, m.num(2 ** 23))), m.num(2 ** 23 + 1));
  const y = m.let("log", log(m, u));
  return whereZero(m, x, x, select(inside, add(y, lost), y));
}

/** (tanh(x) - x) / x^3 in z = x^2 on z <= 0.4. */
const TANH = [
  -0.3333333134651184, 0.13333190977573395, -0.05394488945603371, 0.02169015444815159,
  -0.008150697685778141, 0.002118017990142107,
];

export function tanh(m: MathBuilder, x: Expr): Expr {
  const a = m.let("a", min(abs(x), m.num(10)));
  const z = m.let("z", mul(a, a));
  const near = fma(mul(a, z), poly(z, TANH), a);
  const e = expCore(m, m.let("twice", add(a, a)), false);
  const far = sub(m.num(1), div(m.num(2), add(e, m.num(1))));
  return copySign(select(lessThan(a, m.num(0.63)), near, far), x);
}

export function sigmoid(m: MathBuilder, x: Expr): Expr {
  const a = m.let("a", max(unary("neg", abs(x)), m.num(-104)));
  const e = m.let("e", expCore(m, a, true));
  const top = select(lessThan(x, m.num(0)), e, m.num(1));
  return div(top, add(m.num(1), e));
}

/** erf(x) / x - 1 in z = x^2 on z <= 0.85. */
const ERF_NEAR = [
  0.12837916612625122, -0.37612634897232056, 0.11283695697784424, -0.02685939334332943,
  0.005201021209359169, -0.0008142581209540367, 8.36957769934088e-5,
];
/** log(1 - erf(x)) / x on [0.88, 4], weighted for the error of erf. */
const ERF_FAR = [
  -1.1285314559936523, -0.6357199549674988, -0.10507727414369583, 0.022476989775896072,
  -0.002807347336784005, 4.785810233443044e-6, 5.444032285595313e-5, -5.670641712640645e-6,
];

export function erf(m: MathBuilder, x: Expr): Expr {
  const a = m.let("a", min(abs(x), m.num(4)));
  const z = m.let("z", mul(a, a));
  const near = fma(a, poly(z, ERF_NEAR), a);
  const e = expCore(m, m.let("t", mul(a, poly(a, ERF_FAR))), false);
  const far = sub(m.num(1), e);
  return copySign(select(lessThan(a, m.num(0.9)), near, far), x);
}
