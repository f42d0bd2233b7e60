/** @file Where learned scales start (LSQ: Esser et al., ICLR 2020, arXiv:1902.08153, section 2.1). */
import { type Tensor, toNumbers } from "../../tensor/tensor.ts";

/** 2 mean |v| / sqrt(Q), for integers up to Q. */
export const lsqScale = (meanMagnitude: number, max: number): number =>
  (2 * meanMagnitude) / Math.sqrt(max);

/** A scale for each index of the weight's first axis; a channel of zeros gets 1. */
export function lsqScales(weight: Tensor, max: number): number[] {
  const channels = weight.type.shape[0]!;
  const n = weight.data.length / channels;
  const values = toNumbers(weight);
  return Array.from({ length: channels }, (_, c) => {
    const sum = values.slice(c * n, (c + 1) * n).reduce((a, v) => a + Math.abs(v), 0);
    return sum === 0 ? 1 : lsqScale(sum / n, max);
  });
}
