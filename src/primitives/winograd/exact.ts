/**
 * @file Winograd F(4x4, 3x3) in integers, lane by lane. The rows of the weight transform are scaled to
 * integers and the columns of the output transform to match, so that sums come out multiplied by a power of two
 * times 9, exactly. Matrices of arXiv:1509.09308 (points 0, 1, -1, 2, -2).
 */
import { add, binary, constant, i32, mul, sub } from "../../kernel/build.ts";
import type { Expr } from "../../kernel/ir.ts";

/** Outputs of a tile in one dimension, inputs it reads, taps. */
export const TILE = 4;
export const SPAN = 6;
export const TAPS = 3;
/** Positions in the transformed tile. */
export const POINTS = SPAN * SPAN;

/** What a constant input is multiplied by, in one dimension, at each point. */
export const CONSTANT_GAIN: readonly number[] = [0, -6, 0, 0, 0, 0];

export type Name = (hint: string, value: Expr) => Expr;

const times = (a: Expr, factor: number): Expr => mul(a, constant(a.type, factor));
const shl = (a: Expr, bits: number): Expr => binary("shl", a, i32(bits));

/** Six inputs to the six points: 12 additions and shifts. */
export function transformInput(d: readonly Expr[], name: Name): Expr[] {
  const [d0, d1, d2, d3, d4, d5] = d as [Expr, Expr, Expr, Expr, Expr, Expr];
  const near = name("p", sub(d4, shl(d2, 2)));
  const far = name("q", sub(d3, shl(d1, 2)));
  const even = name("r", sub(d4, d2));
  const odd = name("s", shl(sub(d3, d1), 1));
  return [
    add(sub(shl(sub(d0, d2), 2), d2), d4),
    add(near, far),
    sub(near, far),
    add(even, odd),
    sub(even, odd),
    add(sub(shl(sub(d1, d3), 2), d3), d5),
  ];
}

/** Three taps to the six points; rows [1 0 0], [1 1 1], [1 -1 1], [1 2 4], [1 -2 4], [0 0 1]. */
export function transformWeights(g: readonly Expr[], name: Name): Expr[] {
  const [g0, g1, g2] = g as [Expr, Expr, Expr];
  const sum = name("p", add(g0, g2));
  const wide = name("q", add(g0, shl(g2, 2)));
  const twice = name("r", shl(g1, 1));
  return [g0, add(sum, g1), sub(sum, g1), add(wide, twice), sub(wide, twice), g2];
}

/** Six points to four outputs, each 24 times the result. */
export function transformEvenly(m: readonly Expr[], name: Name): Expr[] {
  const { s1, d1, s2, d2 } = butterflies(m, name);
  const near = name("n", shl(d1, 2));
  return [
    add(sub(times(m[0]!, 6), shl(s1, 2)), s2),
    sub(shl(d2, 1), near),
    shl(sub(s2, s1), 2),
    sub(add(shl(d2, 3), times(m[5]!, 24)), near),
  ];
}

/** Powers of two in the factors of `transformOutput`'s results; each also has a factor of 3. */
export const OUTPUT_SHIFTS: readonly number[] = [3, 2, 1, 1];

/** Six points to four outputs, each 3 * 2^OUTPUT_SHIFTS times the result. */
export function transformOutput(m: readonly Expr[], name: Name): Expr[] {
  const { s1, d1, s2, d2 } = butterflies(m, name);
  return [
    add(sub(times(m[0]!, 6), shl(s1, 2)), s2),
    sub(d2, shl(d1, 1)),
    sub(s2, s1),
    sub(add(shl(d2, 1), times(m[5]!, 6)), d1),
  ];
}

function butterflies(m: readonly Expr[], name: Name) {
  const [, m1, m2, m3, m4] = m as [Expr, Expr, Expr, Expr, Expr, Expr];
  return {
    s1: name("s", add(m1, m2)),
    d1: name("d", sub(m1, m2)),
    s2: name("s", add(m3, m4)),
    d2: name("d", sub(m3, m4)),
  };
}

/** The inverse of 9 modulo 2^32. */
const NINTH = 0x38e38e39;
/** Results must lie within +-2^SUM_BITS for `divide` to be exact. */
export const SUM_BITS = 25;

/** The exact quotient of an i32 multiple of 9 * 2^shift, itself within +-2^(31 - shift); wraps before that. */
export const divide = (z: Expr, shift: number): Expr =>
  binary("shr", mul(z, constant(z.type, NINTH)), i32(shift));
