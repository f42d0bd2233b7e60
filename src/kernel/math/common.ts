/** @file Parts the maths functions share: polynomials, powers of two, signs, lane masks. */
import { add, binary, cast, constant, fma, mul, select, sub, unary, withElem } from "../build.ts";
import { type Expr, elemOf, isVector, type KType } from "../ir.ts";
import type { MathBuilder } from "./function.ts";

/** c[0] + c[1] x + c[2] x^2 + …, by Horner's rule. */
export function poly(x: Expr, coefficients: readonly number[]): Expr {
  const terms = coefficients.map((c) => constant(x.type, c));
  return terms.reduceRight((sum, c) => fma(sum, x, c));
}

/** 2^k, or a piece of it, needs the exponent field: where it starts, and its bias. */
const FIELD = { f32: { shift: 23, bias: 127 }, f64: { shift: 52, bias: 1023 } } as const;

const isDouble = (t: KType): boolean => elemOf(t) === "f64";
/** The integer type with the bits of `t`. */
export const bitsType = (t: KType): KType => withElem(t, isDouble(t) ? "i64" : "i32");
/** An integer constant with the width of the float type `t`. */
export const int = (t: KType, value: number | bigint): Expr =>
  constant(bitsType(t), isDouble(t) ? BigInt(value) : Number(value));
export const toBits = (x: Expr): Expr => cast(bitsType(x.type), "bits", x);
export const fromBits = (type: KType, x: Expr): Expr => cast(type, "bits", x);

/** 1.5 * 2^23: an f32 of small magnitude added to it leaves its nearest integer in the low bits. */
const ROUND = 12582912;
const ROUND_BITS = 0x4b400000;

/** An f32 of magnitude below 2^21 rounded to the nearest integer, and its bits less `ROUND_BITS`. */
export interface Rounded {
  readonly float: Expr;
  readonly bits: Expr;
}

/** Rounds a * b (f32): a sum costs less than the conversion to integers, which has to mind NaN and overflow. */
export function roundProduct(m: MathBuilder, a: Expr, b: Expr): Rounded {
  const shifted = m.let("shifted", fma(a, b, m.num(ROUND)));
  return { float: m.let("k", sub(shifted, m.num(ROUND))), bits: toBits(shifted) };
}

/** y * 2^k in f32; NaN in y stays. `wide`: results may be subnormal or overflow. */
export function scaleByRounded(m: MathBuilder, y: Expr, k: Rounded, wide: boolean): Expr {
  const { shift, bias } = FIELD.f32;
  const power = (e: Expr): Expr => {
    const field = binary("shl", e, shiftBy(y.type, shift));
    return fromBits(y.type, add(field, int(y.type, bias << shift)));
  };
  // What ROUND_BITS adds is shifted out.
  if (!wide) return mul(y, power(k.bits));
  const n = m.let("n", sub(k.bits, int(y.type, ROUND_BITS)));
  const half = m.let("half", binary("shr", n, shiftBy(y.type, 1)));
  return mul(mul(y, power(half)), power(sub(n, half)));
}

/** y * 2^k for an integral float k. `wide`: results may be subnormal or overflow. */
export function scaleByPower(m: MathBuilder, y: Expr, k: Expr, wide: boolean): Expr {
  const { shift, bias } = FIELD[isDouble(y.type) ? "f64" : "f32"];
  const n = m.let("n", cast(bitsType(y.type), "trunc_sat_s", k));
  const power = (e: Expr): Expr => {
    const field = binary("shl", add(e, int(y.type, bias)), shiftBy(y.type, shift));
    return fromBits(y.type, field);
  };
  if (!wide) return mul(y, power(n));
  const half = m.let("half", binary("shr", n, shiftBy(y.type, 1)));
  return mul(mul(y, power(half)), power(sub(n, half)));
}

/** A shift count for integers with the width of `t`: vectors take an i32. */
export const shiftBy = (t: KType, count: number): Expr =>
  isVector(t) || !isDouble(t) ? constant("i32", count) : constant("i64", BigInt(count));

/** The magnitude of a with the sign of b. */
export function copySign(a: Expr, b: Expr): Expr {
  if (!isVector(a.type)) return binary("copysign", a, b);
  const sign = int(a.type, isDouble(a.type) ? -(1n << 63n) : -2147483648);
  const magnitude = binary("and", toBits(a), unary("not", sign));
  return fromBits(a.type, binary("or", magnitude, binary("and", toBits(b), sign)));
}

export const abs = (x: Expr): Expr => unary("abs", x);
export const lessThan = (a: Expr, b: Expr): Expr => binary("lt", a, b);

/** `value` where x is +0 or -0, else `otherwise`. */
export const whereZero = (m: MathBuilder, x: Expr, value: Expr, otherwise: Expr): Expr =>
  select(binary("eq", x, m.num(0)), value, otherwise);

/** x = 2^k * (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)), for positive normal x. */
export function splitPower(m: MathBuilder, x: Expr): { readonly k: Expr; readonly f: Expr } {
  const t = x.type;
  const double = isDouble(t);
  const { shift, bias } = FIELD[double ? "f64" : "f32"];
  const one = double ? 0x3ff0000000000000n : 0x3f800000n;
  const root = double ? 0x3fe6a09e667f3bcdn : 0x3f3504f3n;
  const mask = (1n << BigInt(shift)) - 1n;
  const i = m.let("i", add(toBits(x), int(t, one - root)));
  const k = sub(binary("shr", i, shiftBy(t, shift)), int(t, bias));
  const mantissa = add(binary("and", i, int(t, mask)), int(t, root));
  return {
    k: m.let("k", cast(t, "convert_s", k)),
    f: m.let("f", sub(fromBits(t, mantissa), m.num(1))),
  };
}
