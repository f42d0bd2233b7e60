/**
 * @file The static memory planner: greedy by size over lifetimes, as TensorFlow Lite Micro's
 * GreedyMemoryPlanner does (largest first, ties in reverse order of insertion, first gap that fits).
 */
import { alignUp } from "../util/math.ts";

/** A block of memory live from step `first` to step `last`, both included. */
export interface Block {
  readonly sizeBytes: number;
  readonly first: number;
  readonly last: number;
}

export interface MemoryPlan {
  /** Byte offset of each block, in the order given. */
  readonly offsets: readonly number[];
  /** End of the highest block: the peak. */
  readonly arenaBytes: number;
}

const overlap = (a: Block, b: Block): boolean => a.first <= b.last && b.first <= a.last;

/** Places the blocks; blocks alive at the same time never overlap. Sizes are rounded up to `alignment`. */
export function planMemory(blocks: readonly Block[], alignment = 16): MemoryPlan {
  const sizes = blocks.map((b) => alignUp(b.sizeBytes, alignment));
  const order = blocks.map((_, i) => i).reverse();
  order.sort((i, j) => sizes[j]! - sizes[i]!);
  const offsets = new Array<number>(blocks.length).fill(0);
  const placed: number[] = [];
  let arenaBytes = 0;
  for (const i of order) {
    let candidate = 0;
    for (const j of placed) {
      if (!overlap(blocks[i]!, blocks[j]!)) continue;
      if (offsets[j]! - candidate >= sizes[i]!) break;
      candidate = Math.max(candidate, offsets[j]! + sizes[j]!);
    }
    offsets[i] = candidate;
    arenaBytes = Math.max(arenaBytes, candidate + sizes[i]!);
    const at = placed.findIndex((j) => offsets[j]! > candidate);
    placed.splice(at === -1 ? placed.length : at, 0, i);
  }
  return { offsets, arenaBytes };
}

/** No plan can be smaller: the largest sum of live sizes at any step. */
export function memoryLowerBound(blocks: readonly Block[], alignment = 16): number {
  let bound = 0;
  for (const { first } of blocks) {
    let live = 0;
    for (const b of blocks) {
      if (b.first <= first && first <= b.last) live += alignUp(b.sizeBytes, alignment);
    }
    bound = Math.max(bound, live);
  }
  return bound;
}
