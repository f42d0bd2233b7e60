/**
 * @file Unary functions on 8-bit values as tables of 256 entries, computed as TensorFlow Lite's
 * kernels compute them: some through f32, some in fixed point. Source: the definitions of its
 * reference kernels.
 */
import type { Value } from "../../graph/graph.ts";
import type { OutQuant } from "../../graph/op.ts";
import { DTYPES } from "../../tensor/dtype.ts";
import {
  multiplyByQuantizedMultiplier,
  quantizeMultiplier,
  roundingDivideByPot,
} from "../../tensor/fixed-point.ts";
import { type QuantParams, tensorOf } from "../../tensor/tensor.ts";
import { clamp } from "../../util/math.ts";
import { core } from "../core.ts";
import { malformed, type OpContext } from "./context.ts";

/** The result for one input integer, before clamping to the result's type. */
export type ByteRule = (q: number) => number;
/** A rule for given input and output parameters. */
export type ByteRuleOf = (x: QuantParams, out: OutQuant) => ByteRule;

/** Emits the table of `rule` for quantised `x` and the quantised type declared for output 0. */
export function emitTable(c: OpContext, x: Value, ruleOf: ByteRuleOf): Value {
  const out = c.out();
  if (out === undefined) throw malformed("the input is quantised and the output is not");
  const { dtype, quant } = c.type(x);
  const rule = ruleOf(quant!, out);
  const first = DTYPES[dtype].min;
  const { min, max } = DTYPES[out.dtype];
  const table = Array.from({ length: 256 }, (_, i) => {
    const q = rule(first + i);
    return Number.isNaN(q) ? min : clamp(q, min, max);
  });
  return c.emit(core.lut, [x, c.g.constant(tensorOf(out.dtype, [256], table))], { out });
}

/** Nearest integer, halves away from zero. */
export const roundAway = (x: number): number =>
  x < 0 ? -Math.floor(0.5 - x) : Math.floor(x + 0.5);

/** Through f32: dequantise, apply `f`, multiply by the reciprocal of the scale, round. */
export const viaFloat =
  (f: (x: number) => number): ByteRuleOf =>
  (x, out) => {
    const inverse = Math.fround(1 / out.scale[0]!);
    return (q) => {
      const y = Math.fround(f(Math.fround(x.scale[0]! * (q - x.zeroPoint[0]!))));
      return roundAway(Math.fround(y * inverse)) + out.zeroPoint[0]!;
    };
  };

/** Rescaled in fixed point, then clamped to [lo, hi] (reals). */
export const rescaled =
  (lo: number, hi: number): ByteRuleOf =>
  (x, out) => {
    const m = quantizeMultiplier(x.scale[0]! / out.scale[0]!);
    const zero = out.zeroPoint[0]!;
    const bound = (real: number): number =>
      Number.isFinite(real) ? zero + roundAway(Math.fround(real / out.scale[0]!)) : real;
    return (q) => {
      const y = multiplyByQuantizedMultiplier(q - x.zeroPoint[0]!, m) + zero;
      return clamp(y, bound(lo), bound(hi));
    };
  };

/** From one quantisation to another, through f32: y = round(q * s + (z * -s)) + zo. */
export const requantised: ByteRuleOf = (x, out) => {
  const s = Math.fround(x.scale[0]! * Math.fround(1 / out.scale[0]!));
  const bias = Math.fround(-x.zeroPoint[0]! * s);
  return (q) => roundAway(Math.fround(Math.fround(q * s) + bias)) + out.zeroPoint[0]!;
};

export const leakyRelu =
  (alpha: number): ByteRuleOf =>
  (x, out) => {
    const identity = quantizeMultiplier(x.scale[0]! / out.scale[0]!);
    const slope = quantizeMultiplier(Math.abs(x.scale[0]! * alpha) / out.scale[0]!);
    const sign = Math.sign(alpha);
    return (q) => {
      const d = q - x.zeroPoint[0]!;
      const y = multiplyByQuantizedMultiplier(d, d >= 0 ? identity : slope);
      return (d >= 0 ? y : sign * y) + out.zeroPoint[0]!;
    };
  };

export const absolute: ByteRuleOf = (x, out) => {
  const m = quantizeMultiplier(x.scale[0]! / out.scale[0]!);
  const plain = x.scale[0] === out.scale[0];
  return (q) => {
    const d = Math.abs(q - x.zeroPoint[0]!);
    return (plain ? d : multiplyByQuantizedMultiplier(d, m)) + out.zeroPoint[0]!;
  };
};

const toI16 = (x: number): number => clamp(x, -32768, 32767);
/**
 * floor((a * b + 2^14) / 2^15) of i16 values, halves up for positive and toward zero for negative
 * sums.
 */
const highMul16 = (a: number, b: number): number => {
  const ab = a * b;
  return Math.trunc((ab + (ab >= 0 ? 16384 : 1 - 16384)) / 32768);
};
/** The mantissa of a real in 16 bits, and its exponent. */
function fixed16(real: number): readonly [multiplier: number, exponent: number] {
  const { multiplier, shift } = quantizeMultiplier(real);
  return [Math.min(32767, Math.floor((multiplier + 32768) / 65536)), shift];
}

/** x * relu6(x + 3) / 6 in 16-bit fixed point. */
export const hardSwish: ByteRuleOf = (x, out) => {
  const hires = Math.fround(x.scale[0]! / 128);
  const [outMul, outExp] = fixed16(hires / out.scale[0]!);
  const [reluMul, reluExp] = fixed16(hires / Math.fround(3 / 32768));
  return (q) => {
    const input = (q - x.zeroPoint[0]!) * 128;
    const preshift = highMul16(input, outMul);
    let r = reluExp > 0 ? toI16(input * 2 ** (reluExp - 1)) : input;
    r = highMul16(r, reluMul);
    if (reluExp > 0) r = toI16(r * 2);
    if (reluExp < 0) r = roundingDivideByPot(r, -reluExp);
    r = (r + 32768) >> 1;
    const product = Math.trunc((r * preshift) / 32768);
    return roundingDivideByPot(product, Math.max(0, -outExp)) + out.zeroPoint[0]!;
  };
};
