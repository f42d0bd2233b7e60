/**
 * @file src/tensor/fixed-point.ts as kernel IR: the same results, bit for bit, for i32 and for
 * vectors of it by 64-bit arithmetic. Used by every operator with the arithmetic "tflite".
 */
import {
  add,
  binary,
  cast,
  constant,
  type ExprLike,
  extmul,
  i32,
  i64,
  lanes,
  max,
  mul,
  select,
  shuffle,
  sub,
} from "../../kernel/build.ts";
import { type Expr, type Half, isVector, type KType, lanesOf } from "../../kernel/ir.ts";
import type { FixedPoint, Ties } from "../../tensor/fixed-point.ts";

const lift = (e: ExprLike): Expr => (typeof e === "number" ? i32(e) : e);

/**
 * Rounds a 64-bit product: (p + 2^30) >> 31, then the rounding right shift; `right` is constant.
 */
function roundProduct(product: Expr, right: number, ties: Ties): Expr {
  const type: KType = product.type;
  const high = binary("shr", add(product, constant(type, 1n << 30n)), i32(31));
  if (right === 0) return high;
  const up = add(high, constant(type, 1n << BigInt(right - 1)));
  const nudged = ties === "up" ? up : add(up, binary("shr", high, i32(63)));
  return binary("shr", nudged, i32(right));
}

/**
 * multiplyByQuantizedMultiplier of an i32 or vector of i32. `x` is used more than once for
 * vectors: pass a variable. The result has the type of `x`.
 */
export function mulByFixedPoint(x: Expr, m: FixedPoint, ties: Ties = "away"): Expr {
  const right = Math.max(0, -m.shift);
  const shifted = m.shift > 0 ? binary("shl", x, i32(m.shift)) : x;
  if (!isVector(x.type)) {
    const product = mul(cast("i64", "extend_s", shifted), i64(BigInt(m.multiplier)));
    return cast("i32", "wrap", roundProduct(product, right, ties));
  }
  return mulLanes(shifted, constant(x.type, m.multiplier), right, ties);
}

/** Vectors of i32 times multipliers with one right shift for all lanes; `x` is used twice. */
export function mulLanes(x: Expr, multiplier: Expr, right: number, ties: Ties): Expr {
  const long: KType = `i64x${lanesOf(x.type) / 2}`;
  const sum = (part: Half): Expr =>
    add(extmul(long, part, x, multiplier), constant(long, 1n << 30n));
  // Bits 31 to 62 are the result, and the shift may be logical: engines lack an arithmetic one.
  const words = (part: Half): Expr => cast(x.type, "bits", binary("shr_u", sum(part), i32(31)));
  if (lanesOf(x.type) <= 4) {
    return divideLanes(shuffle(words("low"), words("high"), everySecond(x.type, 0)), right, ties);
  }
  const upper = cast(x.type, "bits", binary("shl", sum("odd"), i32(1)));
  const odd = Array.from({ length: lanesOf(x.type) }, (_, i) => (i % 2 === 0 ? 0 : -1));
  return divideLanes(select(lanes(x.type, odd), upper, words("even")), right, ties);
}

/** Rounding right shift of vectors, halves up, lane by lane by `count`, which is at least 1. */
export function shiftEachLane(x: Expr, count: Expr): Expr {
  const one = constant(x.type, 1);
  // The last step halves, where adding one could overflow.
  const twice = binary("shr", x, sub(count, one));
  return add(binary("shr", twice, i32(1)), binary("and", twice, one));
}

/** Every second lane of two vectors of `type`, from the first (0) or the second (1). */
export const everySecond = (type: KType, from: 0 | 1): number[] =>
  Array.from({ length: lanesOf(type) }, (_, i) => 2 * i + from);

/** Rounding right shift of vectors. */
function divideLanes(x: Expr, right: number, ties: Ties): Expr {
  if (right === 0) return x;
  const mask = 2 ** right - 1;
  const remainder = binary("and", x, constant(x.type, mask));
  const half = constant(x.type, mask >>> 1);
  const threshold = ties === "up" ? half : sub(half, binary("shr", x, i32(31)));
  // A true comparison is -1 in every lane.
  return sub(binary("shr", x, i32(right)), binary("gt", remainder, threshold));
}

/**
 * The scalar form with the multiplier and shift known only at run time (tables per channel):
 * i32 expressions, `shift` as in FixedPoint. Uses `shift` several times: pass a variable.
 */
export function mulByFixedPointDynamic(
  x: Expr,
  multiplier: Expr,
  shift: Expr,
  ties: Ties = "away",
): Expr {
  const shifted = binary("shl", x, max(shift, i32(0)));
  const product = mul(cast("i64", "extend_s", shifted), cast("i64", "extend_s", multiplier));
  const high = binary("shr", add(product, i64(1n << 30n)), i32(31));
  const right = cast("i64", "extend_s", max(sub(lift(0), shift), i32(0)));
  const half = binary("shr_u", binary("shl", i64(1n), right), i64(1n));
  const up = add(high, half);
  if (ties === "up") return cast("i32", "wrap", binary("shr", up, right));
  const nudge = binary("and", binary("shr_u", high, i64(63n)), binary("min", half, i64(1n)));
  return cast("i32", "wrap", binary("shr", sub(up, nudge), right));
}
