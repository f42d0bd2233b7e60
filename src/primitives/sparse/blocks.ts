/**
 * @file Sparse weights in 1x4 blocks: four neighbouring output channels share each index, so that one vector
 * of weights meets one input element and activations stay NHWC. Packed as [panel][block][4].
 */
import { type Tensor, tensorOf } from "../../tensor/tensor.ts";
import { ceilDiv } from "../../util/math.ts";

/** Output channels of a block. */
export const BLOCK = 4;

export interface SparseBlocks {
  readonly panels: number;
  readonly blocks: number;
  /** 4 values a block, f32; at least one block. */
  readonly values: Tensor;
  /** The input element of each block, relative to the pixel's first: u16, or i32 where that is too small. */
  readonly offsets: Tensor;
  /** Where the blocks of each panel start, and the end: panels + 1 elements, i32. */
  readonly starts: Tensor;
}

/** Calls `body` for each block with a value that is not zero, panel by panel. */
function eachBlock(w: Tensor, n: number, body: (panel: number, k: number) => void): void {
  const depth = w.data.length / n;
  for (let p = 0; p < ceilDiv(n, BLOCK); p++) {
    const last = Math.min(n, BLOCK * (p + 1));
    for (let k = 0; k < depth; k++) {
      for (let o = BLOCK * p; o < last; o++) {
        if (w.data[o * depth + k] === 0) continue;
        body(p, k);
        break;
      }
    }
  }
}

export function countBlocks(w: Tensor, n: number): number {
  let count = 0;
  eachBlock(w, n, () => count++);
  return count;
}

/** The blocks of weights [N, K]; `offsetOf` says which input element column k multiplies. */
export function sparseBlocks(w: Tensor, n: number, offsetOf: (k: number) => number): SparseBlocks {
  const depth = w.data.length / n;
  const panels = ceilDiv(n, BLOCK);
  const blocks = countBlocks(w, n);
  const values = new Float32Array(BLOCK * Math.max(1, blocks));
  const offsets: number[] = [];
  const counts = new Array<number>(panels).fill(0);
  eachBlock(w, n, (p, k) => {
    const at = BLOCK * offsets.push(offsetOf(k)) - BLOCK;
    for (let j = 0; j < BLOCK && BLOCK * p + j < n; j++) {
      values[at + j] = w.data[(BLOCK * p + j) * depth + k] as number;
    }
    counts[p]!++;
  });
  const starts = [0];
  for (const count of counts) starts.push(starts.at(-1)! + count);
  if (offsets.length === 0) offsets.push(0);
  const wide = offsets.some((o) => o > 0xffff);
  return {
    panels,
    blocks,
    values: { type: { dtype: "f32", shape: [values.length] }, data: values },
    offsets: tensorOf(wide ? "i32" : "u16", [offsets.length], offsets),
    starts: tensorOf("i32", [starts.length], starts),
  };
}
