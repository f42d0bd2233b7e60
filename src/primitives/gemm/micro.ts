/** @file The innermost product of the f32 matrix kernels: sums of mr rows by nv vectors held in registers. */
import { add, affine, fma, type KernelBuilder } from "../../kernel/build.ts";
import type { Buffer, Expr, KType } from "../../kernel/ir.ts";
import { panelWidth, type Tile } from "./geometry.ts";

/** Runs longer than this are loops; shorter ones are written out. */
const UNROLL_LIMIT = 4;

/** The register type of a tile's vectors. */
export const vectorType = (tile: Tile): KType => `f32x${tile.lanes}`;

/** Registers of a tile that start as the vectors of `start`, one per column. */
export const openSums = (k: KernelBuilder, tile: Tile, start: readonly Expr[]): Expr[][] =>
  Array.from({ length: tile.mr }, () => start.map((v) => k.reg("acc", v)));

/** Where the rows of the left operand start, and the elements between them. */
export interface Rows {
  readonly buffer: Buffer;
  readonly at: Expr;
  readonly stride: number;
}

/** A panel of weights [depth][panelWidth] from element `at`. */
export interface PanelAt {
  readonly buffer: Buffer;
  readonly at: Expr;
}

/** Adds `depth` products to every sum. */
export function addProducts(
  k: KernelBuilder,
  tile: Tile,
  acc: readonly (readonly Expr[])[],
  rows: Rows,
  panel: PanelAt,
  depth: number,
): void {
  const type = vectorType(tile);
  const width = panelWidth(tile);
  const step = (a: Expr, wp: Expr): void => {
    const ws = Array.from({ length: tile.nv }, (_, j) =>
      k.let("wv", k.load(panel.buffer, add(wp, tile.lanes * j), type)),
    );
    acc.forEach((sums, r) => {
      const av = k.let("av", k.loadGroup(rows.buffer, affine(a, r * rows.stride), type));
      ws.forEach((wv, j) => k.set(sums[j]!, fma(av, wv, sums[j]!)));
    });
  };
  const unroll = depth <= UNROLL_LIMIT ? depth : 1;
  const body = (i: Expr): void => {
    for (let u = 0; u < unroll; u++) {
      step(affine(rows.at, i, u), affine(panel.at, [i, width], u * width));
    }
  };
  k.for("k", 0, depth, body, { step: unroll });
}
