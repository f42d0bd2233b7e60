/**
 * @file Argument reduction for sin, cos and tan, in f64: x * 2/pi exactly enough for any f32 and for
 * f64 up to 2^120, by products with 24-bit pieces of 2/pi (each exact) summed with compensation.
 */
import { add, binary, cast, f64, i64, mul, select, sub, unary } from "../build.ts";
import type { Expr } from "../ir.ts";
import { abs, lessThan } from "./common.ts";
import type { MathBuilder } from "./function.ts";

/** Digits of 2/pi in base 2^24, the first after the point first. */
const TWO_OVER_PI = [
  10680707, 7228996, 1387004, 2578385, 16069853, 12639074, 9804092, 4427841, 16666979, 11263675,
];

/** A double as two parts of at most 26 significant bits. */
export function halves(m: MathBuilder, x: Expr): readonly Expr[] {
  const kept = binary("and", cast("i64", "bits", x), i64(-(1n << 27n)));
  const high = m.let("high", cast("f64", "bits", kept));
  return [high, m.let("low", sub(x, high))];
}

/** The angle left of x in [-pi/4, pi/4] and how many quarter turns (mod 4, i32) were taken off. */
export interface Reduced {
  readonly angle: Expr;
  readonly quadrant: Expr;
}

/** `parts` sum to x (f64) and have at most 29 significant bits each; `digits` of 2/pi are used. */
export function reduceAngle(
  m: MathBuilder,
  x: Expr,
  parts: readonly Expr[],
  digits: number,
): Reduced {
  let sum: Expr = f64(0);
  let lost: Expr = f64(0);
  for (const part of parts) {
    TWO_OVER_PI.slice(0, digits).forEach((digit, j) => {
      const product = m.let("p", mul(part, f64(digit * 2 ** (-24 * (j + 1)))));
      const turns = unary("nearest", mul(product, f64(0.25)));
      const term = m.let("t", sub(product, mul(turns, f64(4))));
      const next = m.let("s", add(sum, term));
      const virtual = m.let("v", sub(next, sum));
      const error = add(sub(sum, sub(next, virtual)), sub(term, virtual));
      lost = m.let("e", add(lost, error));
      sum = next;
    });
  }
  const n = m.let("n", unary("nearest", sum));
  const angle = m.let("angle", mul(add(sub(sum, n), lost), f64(Math.PI / 2)));
  const small = lessThan(abs(x), f64(1e-8));
  return {
    angle: m.let("r", select(small, x, angle)),
    quadrant: m.let("quadrant", binary("and", cast("i32", "trunc_sat_s", n), 3)),
  };
}
