/** @file The loop skeleton shared by the matrix kernels: rows, channel panels, pixel tiles, runs. */
import {
  add,
  affine,
  type ExprLike,
  i32,
  type KernelBuilder,
  lt,
  min,
  mul,
} from "../../kernel/build.ts";
import type { Expr } from "../../kernel/ir.ts";
import { type ConvGeometry, type Loops, panelWidth } from "./geometry.ts";

/** Where one row of output pixels reads and writes; element indices. */
export interface Row {
  /** First input element of the row's first pixel, without a workspace. */
  readonly x: Expr;
  /** First output element of the row. */
  readonly y: Expr;
  /** Input row of the first kernel row (may be negative), and the image's first element; not for `flat`. */
  readonly inputRow: Expr;
  readonly image: Expr;
}

/** Calls `body` for each row of output pixels. */
export function forEachRow(
  k: KernelBuilder,
  g: ConvGeometry,
  loops: Loops,
  body: (row: Row) => void,
): void {
  if (loops.flat) {
    const last = g.batch * g.oh * g.ow - loops.length;
    k.forParallel(
      "row",
      0,
      loops.rows,
      (r) => {
        const first = loops.rows === 1 ? i32(0) : k.let("first", min(mul(r, loops.length), last));
        const x = k.let("x0", mul(first, g.c));
        body({ x, y: k.let("y0", mul(first, g.n)), inputRow: i32(0), image: i32(0) });
      },
      { tag: "outline" },
    );
    return;
  }
  k.forParallel("image", 0, g.batch, (b) => {
    const image = k.let("x_image", mul(b, g.h * g.w * g.c));
    const yImage = k.let("y_image", mul(b, g.oh * g.ow * g.n));
    k.forParallel(
      "oy",
      0,
      g.oh,
      (oy) => {
        const inputRow = k.let("iy", affine([oy, g.sh], -g.padTop));
        const x = k.let("x0", affine(image, [inputRow, g.w * g.c], -g.padLeft * g.c));
        body({ x, y: k.let("y0", affine(yImage, [oy, g.ow * g.n])), inputRow, image });
      },
      { tag: "outline" },
    );
  });
}

/**
 * Calls `body` for each tile of pixels of each panel of channels: the group, the panel's index over all
 * groups, its first channel within the group, and the tile's first pixel in the row.
 */
export function forEachTile(
  k: KernelBuilder,
  g: ConvGeometry,
  loops: Loops,
  panelStart: (panel: Expr, group: Expr, channel: Expr) => void,
  body: (pixel: Expr) => void,
): void {
  const { tile, length } = loops;
  k.forParallel("group", 0, g.groups, (group) => {
    k.forParallel("panel", 0, loops.panels, (p) => {
      const panel = k.let("panel_index", affine([group, loops.panels], p));
      panelStart(panel, group, k.let("channel", mul(p, panelWidth(tile))));
      k.forParallel("tile", 0, loops.tiles, (t) => {
        const start = mul(t, tile.mr);
        body(length % tile.mr === 0 ? start : k.let("pixel", min(start, length - tile.mr)));
      });
    });
  });
}

/**
 * Calls `body(offset, run)` for each contiguous run a pixel reads: `offset` is the run's first input element
 * relative to the pixel's, `run` its number; `rowStride` elements lie between input rows.
 */
export function forEachRun(
  k: KernelBuilder,
  g: ConvGeometry,
  loops: Loops,
  rowStride: number,
  body: (offset: Expr, run: Expr) => void,
): void {
  k.for("ky", 0, g.kh, (ky) => {
    const row = mul(ky, rowStride);
    if (loops.runs === g.kh) body(row, ky);
    else {
      k.for("kx", 0, g.kw, (kx) => body(add(row, mul(kx, g.dw * g.c)), affine([ky, g.kw], kx)));
    }
  });
}

/** Runs `store(lanes)` when vector `j` of the panel starting at `channel` holds output channels. */
export function forValidLanes(
  k: KernelBuilder,
  loops: Pick<Loops, "tile" | "panels">,
  channels: number,
  channel: Expr,
  j: number,
  store: (lanes: number) => void,
): void {
  const { lanes } = loops.tile;
  if (channels % panelWidth(loops.tile) === 0) {
    store(lanes);
    return;
  }
  const at: ExprLike = add(channel, lanes * j);
  const tail = channels % lanes;
  const full = channels - tail;
  if (loops.panels === 1) {
    if (lanes * j < full) store(lanes);
    else if (lanes * j < channels) store(tail);
    return;
  }
  k.if(
    lt(at, full),
    () => store(lanes),
    () => {
      if (tail > 0) k.if(lt(at, channels), () => store(tail));
    },
  );
}
