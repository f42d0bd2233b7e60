/** @file Where learned scales start (LSQ: Esser et al., ICLR 2020, arXiv:1902.08153, section 2.1). */
import { numberReader, type Tensor } from "../../tensor/tensor.ts";
import { clamp, roundHalfEven } from "../../util/math.ts";

/** 2 mean |v| / sqrt(Q), for integers up to Q. */
export function lsqScale(values: ArrayLike<number>, max: number): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += Math.abs(values[i]!);
  return (2 * sum) / values.length / Math.sqrt(max);
}

function squaredError(values: Float64Array, scale: number, min: number, max: number): number {
  return values.reduce((sum, v) => {
    const q = clamp(roundHalfEven(v / scale), min, max);
    return sum + (q * scale - v) ** 2;
  }, 0);
}

/**
 * A scale for each index of the weight's first axis: that of LSQ, or the one over the full range where it is nearer
 * to the weights, as it is on 8 bits. A channel of zeros gets 1.
 */
export function lsqScales(weight: Tensor, min: number, max: number): number[] {
  const channels = weight.type.shape[0]!;
  const n = weight.data.length / channels;
  const read = numberReader(weight);
  return Array.from({ length: channels }, (_, c) => {
    const values = Float64Array.from({ length: n }, (_v, i) => read(c * n + i));
    const learned = lsqScale(values, max);
    if (learned === 0) return 1;
    const full = values.reduce((a, v) => Math.max(a, Math.abs(v)), 0) / max;
    const error = (scale: number): number => squaredError(values, scale, min, max);
    return Math.fround(error(full) < error(learned) ? full : learned);
  });
}
