/**
 * @file TensorFlow Lite's fixed-point rescaling, bit for bit: a real multiplier as a 31-bit
 * mantissa and a power of two, applied by a rounding-doubling high multiply and then a rounding
 * right shift (double rounding). src/ops/quant/fixed-point-expr.ts is the same in kernel IR.
 * Source: the published definitions of QuantizeMultiplier, SaturatingRoundingDoublingHighMul and
 * RoundingDivideByPOT.
 */

/** A non-negative real: multiplier / 2^31 * 2^shift, with multiplier in [2^30, 2^31) or 0. */
export interface FixedPoint {
  readonly multiplier: number;
  /** Positive: left shift before the multiply; negative: rounding right shift after it. */
  readonly shift: number;
}

const TWO_31 = 2147483648;

/** x = mantissa * 2^exponent with mantissa in [0.5, 1); x positive and finite. */
function frexp(x: number): readonly [mantissa: number, exponent: number] {
  let exponent = Math.max(-1074, Math.floor(Math.log2(x)) + 1);
  let mantissa = x / 2 ** Math.trunc(exponent / 2) / 2 ** (exponent - Math.trunc(exponent / 2));
  while (mantissa >= 1) {
    mantissa /= 2;
    exponent++;
  }
  while (mantissa < 0.5) {
    mantissa *= 2;
    exponent--;
  }
  return [mantissa, exponent];
}

const MAX_SHIFT = 30;

/**
 * Splits a non-negative real as TensorFlow Lite's QuantizeMultiplier does. Reals of 2^30 and more, for which
 * that is undefined, become the largest one.
 */
export function quantizeMultiplier(real: number): FixedPoint {
  if (real === 0) return { multiplier: 0, shift: 0 };
  if (real >= 2 ** MAX_SHIFT) return { multiplier: TWO_31 - 1, shift: MAX_SHIFT };
  const [mantissa, exponent] = frexp(real);
  // The mantissa is positive: floor(x + 0.5) on this exact sum is round half away from zero.
  const multiplier = Math.floor(mantissa * TWO_31 + 0.5);
  const carry = multiplier === TWO_31;
  const shift = carry ? exponent + 1 : exponent;
  if (shift < -31) return { multiplier: 0, shift: 0 };
  return { multiplier: carry ? TWO_31 / 2 : multiplier, shift };
}

/**
 * floor((a * b + 2^30) / 2^31): the rounding-doubling high multiply of i32 a and b in [0, 2^31).
 */
export function roundingDoublingHighMul(a: number, b: number): number {
  const high = Math.floor(b / 65536);
  const low = b - high * 65536;
  const carry = Math.floor((a * low + 1073741824) / 65536);
  return Math.floor((a * high + carry) / 32768) | 0;
}

/** x / 2^exponent, halves away from zero; exponent in 0..31. */
export function roundingDivideByPot(x: number, exponent: number): number {
  if (exponent === 0) return x;
  const half = 2 ** (exponent - 1);
  return Math.floor((x + (x < 0 ? half - 1 : half)) / 2 ** exponent);
}

/**
 * Where the right shift sends halves: "away" from zero (the published definition, kept by most kernels)
 * or "up" (the matrix kernels behind convolution and fully connected layers).
 */
export type Ties = "away" | "up";

/** x (i32) times the real that `m` stands for, rounded as TensorFlow Lite rounds it. */
export function multiplyByQuantizedMultiplier(
  x: number,
  m: FixedPoint,
  ties: Ties = "away",
): number {
  const shifted = m.shift > 0 ? Math.imul(x, 2 ** m.shift) : x;
  const high = roundingDoublingHighMul(shifted, m.multiplier);
  const right = Math.max(0, -m.shift);
  if (ties === "away" || right === 0) return roundingDivideByPot(high, right);
  return Math.floor((high + 2 ** (right - 1)) / 2 ** right);
}
