/** @file What the integer primitives share: reading a quantised node's types into a kernel's terms. */
import type { Activation, Arith } from "../../graph/op.ts";
import { type RequantRule, requantRule } from "../../ops/quant/requantize-rule.ts";
import { isByte } from "../../tensor/dtype.ts";
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
