/**
 * @file The mean of the bytes under a pooling window: from their i32 sum to the result (docs/ir.md,
 * "Integer mean and softmax").
 */
import type { Arith } from "../../graph/op.ts";
import {
  add,
  binary,
  cast,
  constant,
  f32,
  f64,
  type KernelBuilder,
  max,
  mul,
  select,
  splat,
  sub,
  withElem,
} from "../../kernel/build.ts";
import { type Expr, isVector } from "../../kernel/ir.ts";
import { isQuantisedByte, type TensorType } from "../../tensor/tensor.ts";
import { requantRule } from "../quant/requantize-rule.ts";

export interface PoolMean {
  /** The result for the sum of the stored integers inside, of `inside` elements, divided by `count`. */
  js(sum: number, inside: number, count: number): number;
  /** The same in kernel IR for i32 or i32x4 sums (variables); emits what one window position needs. */
  prepare(k: KernelBuilder, inside: Expr, count: Expr): (sum: Expr) => Expr;
}

/** The integer mean of bytes to bytes; null where the mean is taken of reals. */
export function poolMean(x: TensorType, y: TensorType, arith: Arith | undefined): PoolMean | null {
  if (!isQuantisedByte(x) || !isQuantisedByte(y)) return null;
  return arith === "tflite" ? tfliteMean : floatMean(x, y);
}

const like = (sum: Expr, scalar: Expr): Expr =>
  isVector(sum.type) ? splat(sum.type, scalar) : scalar;

/** Rounds halves away from zero. In lanes through f32: exact while sums stay below 2^23. */
const tfliteMean: PoolMean = {
  js: (sum, inside) => {
    const half = Math.floor(inside / 2);
    return inside === 0 ? 0 : Math.trunc((sum > 0 ? sum + half : sum - half) / inside);
  },
  prepare: (k, inside) => {
    const count = k.let("count", max(1, inside));
    const half = k.let("half", binary("shr", count, 1));
    const divisor = k.let("divisor", cast("f32", "convert_s", count));
    return (sum) => {
      const h = like(sum, half);
      const nudged = select(binary("gt", sum, constant(sum.type, 0)), add(sum, h), sub(sum, h));
      if (!isVector(sum.type)) return binary("div", nudged, count);
      const real = withElem(sum.type, "f32");
      const quotient = binary("div", cast(real, "convert_s", nudged), splat(real, divisor));
      return cast(sum.type, "trunc_sat_s", quotient);
    };
  },
};

function floatMean(x: TensorType, y: TensorType): PoolMean {
  const [sx, zx] = [x.quant!.scale[0]!, x.quant!.zeroPoint[0]!];
  const sy = y.quant!.scale[0]!;
  const weight = (n: number) => ({ scale: [1 / n], zeroPoint: [0], axis: null });
  const ruleOf = (n: number) =>
    requantRule(x.quant!, weight(n), y.quant!, y.dtype, undefined, "float");
  const one = ruleOf(1);
  return {
    js: (sum, inside, count) => ruleOf(Math.max(1, count)).js(sum - inside * zx, 0),
    prepare: (k, inside, count) => {
      const share = binary("div", f64(1), cast("f64", "convert_s", max(1, count)));
      const scale = cast("f32", "demote", mul(f64(sx), share));
      const multiplier =
        count.kind === "const"
          ? f32(ruleOf(Number(count.value)).multiplier[0]!)
          : k.let("multiplier", binary("div", scale, f32(sy)));
      const zeros = k.let("zeros", mul(inside, zx));
      return (sum) => {
        const real = withElem(sum.type, "f32");
        const m = isVector(sum.type) ? splat(real, multiplier) : multiplier;
        return one.expr(k.let("centred", sub(sum, like(sum, zeros))), [m]);
      };
    },
  };
}
