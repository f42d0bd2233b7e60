/** @file Where learned scales start (LSQ: Esser et al., ICLR 2020, arXiv:1902.08153, section 2.1). */
import { type Tensor, toNumbers } from "../../tensor/tensor.ts";

/** 2 mean |v| / sqrt(Q), for integers up to Q. */
export function lsqScale(values: readonly number[], max: number): number {
  const sum = values.reduce((a, v) => a + Math.abs(v), 0);
  return (2 * sum) / values.length / Math.sqrt(max);
}

/** A scale for each index of the weight's first axis; a channel of zeros gets 1. */
export function lsqScales(weight: Tensor, max: number): number[] {
  const channels = weight.type.shape[0]!;
  const n = weight.data.length / channels;
  const values = toNumbers(weight);
  return Array.from({ length: channels }, (_, c) => {
    const scale = lsqScale(values.slice(c * n, (c + 1) * n), max);
    return scale === 0 ? 1 : scale;
  });
}
