/** @file What the integer primitives share: reading a quantised node's types into a kernel's terms. */
import type { Activation, Arith } from "../../graph/op.ts";
import { LOOSE_STEPS, type RequantRule, requantRule } from "../../ops/quant/requantize-rule.ts";
import { DTYPES, isByte } from "../../tensor/dtype.ts";
import type { Tensor, TensorType } from "../../tensor/tensor.ts";
import type { Byte } from "./i8-pack.ts";

/** A quantised contraction whose input and output are 8-bit and whose weights are i8 with zero point 0. */
export interface QuantisedNode {
  readonly xDtype: Byte;
  readonly yDtype: Byte;
  readonly xZero: number;
  readonly weights: Tensor;
  readonly bias: Tensor | undefined;
  readonly rule: RequantRule;
}

/** The node in these terms, or null when the integer primitives do not apply. */
export function quantisedNode(
  ins: readonly TensorType[],
  out: TensorType,
  constants: readonly (Tensor | undefined)[],
  attrs: { readonly act?: Activation; readonly arith?: Arith },
): QuantisedNode | null {
  const [x, w, bias] = ins;
  const weights = constants[1];
  if (x?.quant === undefined || w?.quant === undefined || out.quant === undefined) return null;
  if (!isByte(x.dtype) || !isByte(out.dtype) || w.dtype !== "i8") return null;
  if (weights === undefined || ins.length > 3) return null;
  if (bias !== undefined && (constants[2] === undefined || bias.dtype !== "i32")) return null;
  if (w.quant.zeroPoint.some((z) => z !== 0) || x.quant.axis !== null) return null;
  return {
    xDtype: x.dtype,
    yDtype: out.dtype,
    xZero: x.quant.zeroPoint[0]!,
    weights,
    bias: constants[2],
    rule: requantRule(x.quant, w.quant, out.quant, out.dtype, attrs.act, attrs.arith),
  };
}

/**
 * The least and the greatest sum of products of each output channel, for whatever the input holds; the bias is
 * not counted.
 */
export function sumRange(
  { weights, xDtype, xZero }: Pick<QuantisedNode, "weights" | "xDtype" | "xZero">,
  n: number,
): { readonly low: Float64Array; readonly high: Float64Array } {
  const { min, max } = DTYPES[xDtype];
  const [least, most] = [min - xZero, max - xZero];
  const depth = weights.data.length / n;
  const [low, high] = [new Float64Array(n), new Float64Array(n)];
  for (let o = 0; o < n; o++) {
    for (let i = 0; i < depth; i++) {
      const w = weights.data[o * depth + i] as number;
      low[o]! += Math.min(w * least, w * most, 0);
      high[o]! += Math.max(w * least, w * most, 0);
    }
  }
  return { low, high };
}

/** Whether all sums stay within what `rule.loose` takes. */
export function isTame(
  node: Pick<QuantisedNode, "weights" | "xDtype" | "xZero" | "bias" | "rule">,
  n: number,
): boolean {
  const { low, high } = sumRange(node, n);
  const { multiplier, looseReach } = node.rule;
  return low.every((least, o) => {
    const bias = node.bias === undefined ? 0 : (node.bias.data[o] as number);
    const farthest = Math.max(Math.abs(least + bias), Math.abs(high[o]! + bias), Math.abs(bias));
    if (farthest >= looseReach) return false;
    return farthest * multiplier[multiplier.length === 1 ? 0 : o]! < LOOSE_STEPS;
  });
}
