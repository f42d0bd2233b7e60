/** @file Floating-point remainders by long division in f64: exact for f32, and for f64 up to quotients of 2^92. */
import { add, binary, cast, f64, mul, select, sub, unary } from "../build.ts";
import type { Expr } from "../ir.ts";
import { abs, copySign, lessThan } from "./common.ts";
import type { MathBuilder } from "./function.ts";
import { halves } from "./reduce-angle.ts";

/**
 * |x| mod |y|, both f64, one digit of `bits` bits of the quotient a step. `parts` sum to |y| and
 * are short enough that a digit times a part is exact.
 */
function divideOut(
  m: MathBuilder,
  x: Expr,
  y: Expr,
  parts: readonly Expr[],
  bits: number,
  steps: number,
): Expr {
  let r = x;
  for (let step = steps - 1; step >= 0; step--) {
    const power = f64(2 ** (bits * step));
    const unit = m.let("unit", mul(y, power));
    const quotient = m.let("q", unary("trunc", binary("div", r, unit)));
    let rest = r;
    for (const part of parts) rest = sub(rest, mul(quotient, mul(part, power)));
    rest = m.let("rest", rest);
    rest = select(lessThan(rest, f64(0)), add(rest, unit), rest);
    r = m.let("r", select(lessThan(r, unit), r, rest));
  }
  return m.let("r", select(binary("ge", r, y), sub(r, y), r));
}

function remainder(m: MathBuilder, x: Expr, y: Expr, single: boolean): Expr {
  const a = m.let("a", abs(x));
  const b = m.let("b", abs(y));
  const parts = single ? [b] : halves(m, b);
  const r = single ? divideOut(m, a, b, parts, 28, 10) : divideOut(m, a, b, parts, 23, 4);
  const inside = m.let("inside", select(binary("lt", a, b), a, r));
  return copySign(inside, x);
}

export const fmodDouble = (m: MathBuilder, x: Expr, y: Expr): Expr => remainder(m, x, y, false);

export function fmodSingle(m: MathBuilder, x: Expr, y: Expr): Expr {
  const wide = (e: Expr): Expr => m.let("wide", cast("f64", "promote", e));
  return cast("f32", "demote", remainder(m, wide(x), wide(y), true));
}

/** The remainder with the sign of the divisor, from the one with the sign of the dividend. */
export const floorMod =
  (fmod: (m: MathBuilder, x: Expr, y: Expr) => Expr) =>
  (m: MathBuilder, x: Expr, y: Expr): Expr => {
    const r = m.let("rest", fmod(m, x, y));
    const zero = m.num(0);
    const apart = binary("ne", lessThan(r, zero), lessThan(y, zero));
    const moved = select(apart, add(r, y), r);
    return select(binary("eq", r, zero), copySign(r, y), moved);
  };
