/**
 * @file Integer division, remainder and power as kernel IR, defined for every operand
 * (docs/ir.md).
 */
import * as k from "../../kernel/build.ts";
import type { Expr } from "../../kernel/ir.ts";
import type { DType } from "../../tensor/dtype.ts";
import { isUnsignedWide } from "../lowering.ts";
import { oneOf, zeroOf } from "./factory.ts";

/** Quotient toward zero; 0 for a zero divisor. The least integer over -1 wraps. */
export function truncatedQuotient(x: Expr, y: Expr, dtype: DType, b: k.KernelBuilder): Expr {
  const zero = zeroOf(x);
  const one = oneOf(x);
  const isZero = b.let("isZero", k.binary("eq", y, zero));
  if (isUnsignedWide(dtype)) {
    const divisor = k.select(isZero, one, y);
    return k.select(isZero, zero, k.binary("div_u", x, divisor));
  }
  const minusOne = k.sub(zero, one);
  const negates = b.let("negates", k.binary("eq", y, minusOne));
  const divisor = k.select(k.binary("or", isZero, negates), one, y);
  const quotient = k.select(isZero, zero, k.binary("div", x, divisor));
  return k.select(negates, k.sub(zero, x), quotient);
}

/** Remainder with the sign of the dividend; 0 for a zero divisor. */
export function truncatedRemainder(x: Expr, y: Expr, dtype: DType, b: k.KernelBuilder): Expr {
  const zero = zeroOf(x);
  const one = oneOf(x);
  const isZero = b.let("isZero", k.binary("eq", y, zero));
  // A divisor of -1 leaves no remainder, like 1, and cannot overflow that way.
  const trivial = isUnsignedWide(dtype)
    ? isZero
    : k.binary("or", isZero, k.binary("eq", y, k.sub(zero, one)));
  const divisor = k.select(trivial, one, y);
  return k.binary(isUnsignedWide(dtype) ? "rem_u" : "rem", x, divisor);
}

/** x^y by repeated squaring, wrapping; a negative y gives the truncated reciprocal. */
export function powLoop(x: Expr, y: Expr, dtype: DType, b: k.KernelBuilder): Expr {
  const zero = zeroOf(x);
  const one = oneOf(x);
  const result = b.reg("result", one);
  const base = b.reg("base", x);
  const e = b.reg("e", y);
  b.for("bit", 0, x.type === "i64" ? 64 : 32, () => {
    const odd = k.binary("ne", k.and(e, one), zero);
    b.set(result, k.select(odd, k.mul(result, base), result));
    b.set(base, k.mul(base, base));
    b.set(e, k.binary("shr_u", e, one));
  });
  if (isUnsignedWide(dtype)) return result;
  const minusOne = k.sub(zero, one);
  const odd = k.binary("ne", k.and(y, one), zero);
  const unit = k.select(
    k.binary("eq", x, one),
    one,
    k.select(k.binary("eq", x, minusOne), k.select(odd, minusOne, one), zero),
  );
  return k.select(k.lt(y, zero), unit, result);
}
