/** @file sin, cos, tan and their inverses, in f64; the f32 forms round the result once. */
import { add, binary, cast, constant, mul, select, sub, unary } from "../build.ts";
import { type Expr, elemOf } from "../ir.ts";
import { abs, copySign, lessThan, poly } from "./common.ts";
import { div, factorial, series, sqrt } from "./double.ts";
import type { MathBuilder, MathFn } from "./function.ts";
import { halves, type Reduced, reduceAngle } from "./reduce-angle.ts";

const sign = (n: number): number => (n % 2 === 0 ? 1 : -1);
const SIN = series(9, (n) => sign(n) / factorial(2 * n + 1));
const COS = series(10, (n) => sign(n) / factorial(2 * n));
const num = (value: number): Expr => constant("f64", value);

/** sin and cos of x, exact quadrant included. f32 arguments need fewer products. */
function sinCos(m: MathBuilder, x: Expr, sine: boolean): Expr {
  const { r, z, quadrant } = prepare(m, x);
  const s = mul(r, poly(z, SIN));
  const c = poly(z, COS);
  const turn = m.let("turn", sine ? quadrant : add(quadrant, 1));
  const value = m.let("value", select(binary("and", turn, 1), c, s));
  return select(binary("and", turn, 2), unary("neg", value), value);
}

function prepare(m: MathBuilder, x: Expr): { r: Expr; z: Expr; quadrant: Expr } {
  const wide = elemOf(x.type) === "f32" ? m.let("x", cast("f64", "promote", x)) : x;
  const reduced: Reduced =
    wide === x ? reduceAngle(m, x, halves(m, x), 10) : reduceAngle(m, wide, [wide], 8);
  const r = reduced.angle;
  return { r, z: m.let("z", mul(r, r)), quadrant: reduced.quadrant };
}

function tangent(m: MathBuilder, x: Expr): Expr {
  const { r, z, quadrant } = prepare(m, x);
  const s = m.let("sin", mul(r, poly(z, SIN)));
  const c = m.let("cos", poly(z, COS));
  const odd = m.let("odd", binary("and", quadrant, 1));
  return div(select(odd, unary("neg", c), s), select(odd, s, c));
}

/** A function of one argument whose f64 work serves both types. */
const onDoubles = (f: (m: MathBuilder, x: Expr) => Expr): MathFn => ({
  params: ["x0"],
  f32: (m, x) => cast("f32", "demote", f(m, x!)),
  f64: (m, x) => f(m, x!),
  scalar: true,
});

export const sin = onDoubles((m, x) => sinCos(m, x, true));
export const cos = onDoubles((m, x) => sinCos(m, x, false));
export const tan = onDoubles(tangent);

const ATAN = series(12, (n) => sign(n) / (2 * n + 1));
const EIGHTH = Math.SQRT2 - 1; // tan(pi / 8)

/** atan(q) for q in [0, 1]: the distance to 0, pi/8 or pi/4, then its series. */
function arc(m: MathBuilder, q: Expr): Expr {
  const low = lessThan(q, num(0.198912367379658));
  const high = lessThan(num(0.6681786379192989), q);
  const centre = m.let("centre", select(low, num(0), select(high, num(1), num(EIGHTH))));
  const base = select(low, num(0), select(high, num(Math.PI / 4), num(Math.PI / 8)));
  const t = m.let("t", div(sub(q, centre), add(num(1), mul(q, centre))));
  return m.let("arc", add(base, mul(t, poly(m.let("tt", mul(t, t)), ATAN))));
}

/** The angle of the point (x, y). */
export function atan2(m: MathBuilder, y: Expr, x: Expr): Expr {
  const ax = m.let("ax", abs(x));
  const ay = m.let("ay", abs(y));
  const steep = m.let("steep", lessThan(ax, ay));
  const bottom = m.let("bottom", select(steep, ay, ax));
  const top = m.let("top", select(steep, ax, ay));
  const ratio = select(binary("eq", top, bottom), num(1), div(top, bottom));
  const zero = binary("eq", bottom, num(0));
  const first = arc(m, m.let("q", select(zero, num(0), ratio)));
  const upright = m.let("upright", select(steep, sub(num(Math.PI / 2), first), first));
  const left = lessThan(copySign(num(1), x), num(0));
  const undefinedPoint = binary("or", binary("ne", x, x), binary("ne", y, y));
  const turned = select(left, sub(num(Math.PI), upright), upright);
  return select(undefinedPoint, add(x, y), copySign(turned, y));
}

export const atan = (m: MathBuilder, x: Expr): Expr => {
  const a = m.let("a", abs(x));
  const steep = m.let("steep", lessThan(num(1), a));
  const first = arc(m, m.let("q", select(steep, div(num(1), a), a)));
  return copySign(select(steep, sub(num(Math.PI / 2), first), first), x);
};

const leg = (m: MathBuilder, x: Expr): Expr =>
  m.let("leg", sqrt(mul(sub(num(1), x), add(num(1), x))));
export const asin = (m: MathBuilder, x: Expr): Expr => atan2(m, x, leg(m, x));
export const acos = (m: MathBuilder, x: Expr): Expr => atan2(m, leg(m, x), x);
