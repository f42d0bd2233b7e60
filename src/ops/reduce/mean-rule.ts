/**
 * @file The mean of quantised values: from the exact i32 sum of a group to the integer result.
 *
 * "float": sum of (q - zx), then the rule of docs/ir.md for convolutions with the weight scale 1/n.
 * "tflite": what TensorFlow Lite's built-in int8 kernel gives without delegates, established by running
 * it: the multiplier's mantissa is divided by n, sum of (q - zx) is rescaled by it. When height and width of a
 * rank-4 tensor are reduced and kept (axes 1 and 2), that kernel has another formula: the sum of q is
 * rescaled, the zero points go into a rounded bias, and whole blocks of 16 channels round the final
 * shift half up instead of half away from zero. Its reference kernel uses the first formula always;
 * the XNNPACK delegate rescales in one rounding step and differs from both by at most 1.
 */
import { add, binary, cast, i32, i64, max, min, mul, select, sub } from "../../kernel/build.ts";
import type { Expr } from "../../kernel/ir.ts";
import { DTYPES } from "../../tensor/dtype.ts";
import {
  type FixedPoint,
  multiplyByQuantizedMultiplier,
  quantizeMultiplier,
  roundingDoublingHighMul,
} from "../../tensor/fixed-point.ts";
import { elementCount, type TensorType } from "../../tensor/tensor.ts";
import { clamp } from "../../util/math.ts";
import { mulByFixedPoint } from "../quant/fixed-point-expr.ts";
import { requantRule, tableConstant } from "../quant/requantize-rule.ts";
import type { MeanAttrs } from "./reduce-mean.ts";

export interface MeanRule {
  /** Subtracted from every element before summing. */
  readonly zero: number;
  /** The result for the sum of a group; `out` is the index of the result. */
  js(sum: number, out: number): number;
  /** The same in kernel IR; `sum` is a variable. */
  expr(sum: Expr, out: Expr): Expr;
}

/** Channels whose last rounding is half up come in blocks of this many. */
const BLOCK = 16;

/** Whether "tflite" uses its formula for the mean over height and width. */
export const isSpatialMean = ({ axes, keepDims }: MeanAttrs, rank: number): boolean =>
  rank === 4 && keepDims && axes.length === 2 && axes[0] === 1 && axes[1] === 2;

/** The multiplier divided by n as TensorFlow Lite does it. */
function dividedMultiplier(real: number, n: number): FixedPoint {
  const { multiplier, shift } = quantizeMultiplier(real);
  const extra = Math.min(Math.floor(Math.log2(n)), 32, 31 + shift);
  const mantissa = (BigInt(multiplier) << BigInt(extra)) / BigInt(n);
  return { multiplier: Number(mantissa), shift: shift - extra };
}

/** The rule for one rank, element count and pair of types; `y` must be quantised. */
export function meanRule(x: TensorType, y: TensorType, attrs: MeanAttrs, n: number): MeanRule {
  const qx = x.quant!;
  const qy = y.quant!;
  const zero = qx.zeroPoint[0]!;
  if (attrs.arith !== "tflite") {
    const weight = { scale: [1 / n], zeroPoint: [0], axis: null };
    const rule = requantRule(qx, weight, qy, y.dtype, undefined, "float");
    return {
      zero,
      js: (sum) => rule.js(sum, 0),
      expr: (sum) => rule.expr(sum, [tableConstant(rule.tables[0]!, sum)]),
    };
  }
  if (isSpatialMean(attrs, x.shape.length)) return spatialRule(x, y, n);
  const fixed = dividedMultiplier(qx.scale[0]! / qy.scale[0]!, n);
  const { lo, hi } = rangeOf(y);
  const zy = qy.zeroPoint[0]!;
  return {
    zero,
    js: (sum) => clamp(multiplyByQuantizedMultiplier(sum, fixed) + zy, lo, hi),
    expr: (sum) => min(max(add(mulByFixedPoint(sum, fixed), zy), i32(lo)), i32(hi)),
  };
}

const rangeOf = (t: TensorType): { lo: number; hi: number } => ({
  lo: DTYPES[t.dtype].min,
  hi: DTYPES[t.dtype].max,
});

/** `multiplyByQuantizedMultiplier` with the final shift rounding halves up. */
function halfUp(x: number, { multiplier, shift }: FixedPoint): number {
  const high = roundingDoublingHighMul(shift > 0 ? Math.imul(x, 2 ** shift) : x, multiplier);
  return shift < 0 ? Math.floor((high + 2 ** (-shift - 1)) / 2 ** -shift) : high;
}

function halfUpExpr(x: Expr, { multiplier, shift }: FixedPoint): Expr {
  const shifted = shift > 0 ? binary("shl", x, i32(shift)) : x;
  const product = mul(cast("i64", "extend_s", shifted), i64(BigInt(multiplier)));
  const high = binary("shr", add(product, i64(1n << 30n)), i64(31n));
  const right = BigInt(Math.max(0, -shift));
  const half = right === 0n ? 0n : 1n << (right - 1n);
  return cast("i32", "wrap", binary("shr", add(high, i64(half)), i64(right)));
}

function spatialRule(x: TensorType, y: TensorType, n: number): MeanRule {
  const f = Math.fround;
  const [sx, zx] = [x.quant!.scale[0]!, x.quant!.zeroPoint[0]!];
  const [sy, zy] = [y.quant!.scale[0]!, y.quant!.zeroPoint[0]!];
  const shiftOfZero = f(f(f(zx) * sx) / sy);
  const bias = zy - Math.trunc(f(shiftOfZero > 0 ? shiftOfZero + 0.5 : shiftOfZero - 0.5));
  const fixed = quantizeMultiplier(f(sx / f(f(n) * sy)));
  const channels = elementCount(x.shape.slice(3));
  const blocked = channels - (channels % BLOCK);
  const { lo, hi } = rangeOf(y);
  return {
    zero: 0,
    js: (sum, out) => {
      const up = out % channels < blocked;
      const scaled = up ? halfUp(sum, fixed) : multiplyByQuantizedMultiplier(sum, fixed);
      return clamp(scaled + bias, lo, hi);
    },
    expr: (sum, out) => {
      const scaled = select(
        binary("lt", binary("rem", out, i32(channels)), i32(blocked)),
        halfUpExpr(sum, fixed),
        mulByFixedPoint(sum, fixed),
      );
      return min(max(sub(scaled, -bias), i32(lo)), i32(hi));
    },
  };
}
