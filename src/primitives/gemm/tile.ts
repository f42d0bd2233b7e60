/**
 * @file The register tile of the f32 matrix kernel: by measured tables for 128-bit vectors in 15 registers
 * (WebAssembly), elsewhere by a model of one step of the inner loop.
 */
import { ceilDiv } from "../../util/math.ts";
import { pickTile, type Tile } from "./geometry.ts";

/** What the choice of a tile depends on. */
export interface TileRegisters {
  /** Bytes of a vector register. */
  readonly vectorBytes: number;
  /** Vector registers that kernels may fill. */
  readonly registers: number;
}

/** Tile heights, the vectors of channels each takes, and the throughput it reaches with fused multiply-adds. */
const VECTORS: Readonly<Record<number, number>> = { 1: 8, 2: 4, 3: 3, 4: 2, 5: 2, 6: 2 };
const THROUGHPUT: Readonly<Record<number, number>> = { 1: 26, 2: 36, 3: 44, 4: 54, 5: 56, 6: 58 };

/** Steps of a sum wait this many cycles for each other. */
const LATENCY = 4;
/** Cycles of a fused multiply-add on vectors of 4, 8 and 16 lanes: two a cycle up to 256 bits (Zen 4). */
const CYCLES: Readonly<Record<number, number>> = { 4: 0.5, 8: 0.52, 16: 1 };
/** Spreading an element of the input over a vector, in the same unit. */
const SPREAD = 1.5;

/** Cycles of one step of the inner loop: arithmetic, loads, or the wait for the step before. */
function stepCycles(mr: number, nv: number, cycles: number): number {
  return Math.max(mr * nv * cycles, (SPREAD * mr + nv) * cycles, LATENCY) + 0.5;
}

/**
 * The tile for engines that do not fuse, with the same panels: the product of the unfused form needs a register
 * that taller tiles leave no room for.
 */
export const unfusedTile = (tile: Tile): Tile =>
  tile.mr > 4 && tile.nv > 1 ? { ...tile, mr: 4 } : tile;

/** The tile for rows of `length` pixels and `n` channels. */
export function tileF32(caps: TileRegisters, length: number, n: number): Tile {
  if (caps.vectorBytes <= 16 && caps.registers <= 16) {
    return pickTile(length, n, VECTORS, THROUGHPUT);
  }
  let best: { readonly tile: Tile; readonly time: number } | null = null;
  for (let lanes = caps.vectorBytes / 4; lanes >= 4; lanes /= 2) {
    for (let nv = 1; nv <= 8; nv++) {
      for (let mr = 1; mr <= length && mr * nv + nv + 1 <= caps.registers; mr++) {
        const tiles = ceilDiv(length, mr) * ceilDiv(n, lanes * nv);
        const time = tiles * stepCycles(mr, nv, CYCLES[lanes]!);
        if (best === null || time < best.time) best = { tile: { mr, nv, lanes }, time };
      }
    }
  }
  return best!.tile;
}
