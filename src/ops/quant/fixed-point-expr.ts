/**
 * @file src/tensor/fixed-point.ts as kernel IR: the same results, bit for bit, for i32 and for
 * i32x4 by 64-bit arithmetic. Used by every operator with the arithmetic "tflite".
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
  max,
  mul,
  shuffle,
  sub,
} from "../../kernel/build.ts";
import { type Expr, isVector, type KType } from "../../kernel/ir.ts";
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
 * multiplyByQuantizedMultiplier of an i32 or i32x4 expression. `x` is used more than once for
 * vectors: pass a variable. The result is i32 or i32x4.
 */
export function mulByFixedPoint(x: Expr, m: FixedPoint, ties: Ties = "away"): Expr {
  const right = Math.max(0, -m.shift);
  const shifted = m.shift > 0 ? binary("shl", x, i32(m.shift)) : x;
  if (!isVector(x.type)) {
    const product = mul(cast("i64", "extend_s", shifted), i64(BigInt(m.multiplier)));
    return cast("i32", "wrap", roundProduct(product, right, ties));
  }
  return mulLanes(shifted, constant("i32x4", m.multiplier), right, ties);
}

/** i32x4 times i32x4 multipliers with one right shift for all lanes; `x` is used twice. */
export function mulLanes(x: Expr, multiplier: Expr, right: number, ties: Ties): Expr {
  // 2^62 makes every product non-negative, so that a logical shift does: engines lack an arithmetic one.
  const half = (part: "low" | "high"): Expr => {
    const product = extmul("i64x2", part, x, multiplier);
    const sum = add(product, constant("i64x2", (1n << 62n) + (1n << 30n)));
    return cast("i32x4", "bits", binary("shr_u", sum, i32(31)));
  };
  const words = shuffle(half("low"), half("high"), [0, 2, 4, 6]);
  return divideLanes(binary("xor", words, constant("i32x4", -2147483648)), right, ties);
}

/** Rounding right shift of i32x4. */
function divideLanes(x: Expr, right: number, ties: Ties): Expr {
  if (right === 0) return x;
  const mask = 2 ** right - 1;
  const remainder = binary("and", x, constant("i32x4", mask));
  const half = constant("i32x4", mask >>> 1);
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
