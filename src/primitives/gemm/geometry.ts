/**
 * @file The shape of a convolution as the matrix kernels see it: rows of output pixels, each a product of
 * `kh` (or kh * kw) contiguous runs of input elements with panels of packed weights. A matrix product is
 * the 1x1 case. Activations are NHWC and never repacked as a matrix (indirect convolution, arXiv:1907.02129,
 * with the offsets known at compile time).
 */
import type { TensorType } from "../../tensor/tensor.ts";
import { ceilDiv, product } from "../../util/math.ts";

/** The attributes of a spatial operator that the geometry needs. */
export interface SpatialAttrs {
  readonly layout: "nchw" | "nhwc";
  readonly stride: readonly number[];
  readonly padBegin: readonly number[];
  readonly padEnd: readonly number[];
  readonly dilation?: readonly number[];
}

/** A 2-D convolution in NHWC; 1-D has h = 1. Sizes in elements. */
export interface ConvGeometry {
  readonly batch: number;
  readonly h: number;
  readonly w: number;
  /** Input channels, all groups. */
  readonly c: number;
  readonly oh: number;
  readonly ow: number;
  /** Output channels, all groups. */
  readonly n: number;
  readonly kh: number;
  readonly kw: number;
  readonly sh: number;
  readonly sw: number;
  readonly dh: number;
  readonly dw: number;
  readonly padTop: number;
  readonly padLeft: number;
  readonly groups: number;
  /** Columns of input that a row of output reads, padding included. */
  readonly span: number;
  /** Some output reads padding. */
  readonly padded: boolean;
}

/** The geometry of a conv on `x` (NHWC or NWC) giving `y`, or null when it is not 1-D or 2-D NHWC. */
export function convGeometry(
  x: TensorType,
  kernel: readonly number[],
  y: TensorType,
  attrs: SpatialAttrs,
  groups: number,
): ConvGeometry | null {
  const rank = x.shape.length - 2;
  if (attrs.layout !== "nhwc" || rank < 1 || rank > 2) return null;
  const two = (xs: readonly number[], fill: number): [number, number] =>
    rank === 2 ? [xs[0]!, xs[1]!] : [fill, xs[0]!];
  const spatial = (shape: readonly number[]): [number, number] => two(shape.slice(1, -1), 1);
  const [h, w] = spatial(x.shape);
  const [oh, ow] = spatial(y.shape);
  const [kh, kw] = two(kernel, 1);
  const [sh, sw] = two(attrs.stride, 1);
  const [dh, dw] = two(attrs.dilation ?? kernel.map(() => 1), 1);
  const [padTop, padLeft] = two(attrs.padBegin, 0);
  const span = (ow - 1) * sw + (kw - 1) * dw + 1;
  const rows = (oh - 1) * sh + (kh - 1) * dh + 1;
  const padded = padTop > 0 || padLeft > 0 || padTop + h < rows || padLeft + w < span;
  const batch = x.shape[0]!;
  const c = x.shape.at(-1)!;
  const n = y.shape.at(-1)!;
  return {
    batch, h, w, c, oh, ow, n, kh, kw, sh, sw, dh, dw, padTop, padLeft, groups, span, padded,
  }; // biome-ignore format: one line a group
}

/** x [..., K] times w [N, K]: a 1x1 convolution over M pixels. */
export function linearGeometry(x: TensorType, n: number): ConvGeometry {
  const c = x.shape.at(-1)!;
  const m = product(x.shape.slice(0, -1));
  return {
    batch: 1, h: 1, w: m, c, oh: 1, ow: m, n, kh: 1, kw: 1, sh: 1, sw: 1, dh: 1, dw: 1,
    padTop: 0, padLeft: 0, groups: 1, span: m, padded: false,
  }; // biome-ignore format: one line a group
}

/** The register tile: mr pixels by nv vectors of `lanes` output channels. */
export interface Tile {
  readonly mr: number;
  readonly nv: number;
  readonly lanes: number;
}

/** Output channels of a panel. */
export const panelWidth = (tile: Tile): number => tile.lanes * tile.nv;

/** How the loops run over a geometry. */
export interface Loops {
  /** Rows of `length` pixels; with `flat`, rows cut the pixels of all images, the last one overlapping. */
  readonly rows: number;
  readonly length: number;
  readonly flat: boolean;
  readonly tile: Tile;
  /** Tiles in a row; the last one overlaps the one before when `length` is no multiple of mr. */
  readonly tiles: number;
  /** Panels of `panelWidth` output channels in a group. */
  readonly panels: number;
  /** Contiguous runs of input elements a pixel reads, and the length of each. */
  readonly runs: number;
  readonly runLength: number;
}

/** Input elements a row of a flat product may have, so that they stay in the L1 cache, and its fewest pixels. */
const FLAT_ELEMENTS = 16384;
const FLAT_PIXELS = 48;

/** Cuts the pixels of a flat product into rows of equal length, as far as they divide. */
function flatLength(pixels: number, channels: number): number {
  const most = Math.max(FLAT_PIXELS, Math.floor(FLAT_ELEMENTS / channels));
  return ceilDiv(pixels, ceilDiv(pixels, most));
}

export function planLoops(g: ConvGeometry, pickTile: (length: number, n: number) => Tile): Loops {
  const pointwise = g.kh === 1 && g.kw === 1 && g.sh === 1 && g.sw === 1 && !g.padded;
  const flat = pointwise && g.groups === 1;
  const pixels = g.batch * g.oh * g.ow;
  const length = flat ? flatLength(pixels, g.c) : g.ow;
  const rows = flat ? ceilDiv(pixels, length) : g.batch * g.oh;
  const perGroup = g.n / g.groups;
  const tile = pickTile(length, perGroup);
  const whole = g.dw === 1 && g.groups === 1;
  return {
    rows,
    length,
    flat,
    tile,
    tiles: ceilDiv(length, tile.mr),
    panels: ceilDiv(perGroup, panelWidth(tile)),
    runs: whole ? g.kh : g.kh * g.kw,
    runLength: whole ? g.kw * g.c : g.c / g.groups,
  };
}

/** What spreading an input element over a vector costs a step, in multiply-adds of a vector (measured: 4x4 against 4x8). */
const SPREAD = 1.4;

/**
 * Picks mr and nv by the throughput each tile height reaches with 15 vector registers and as many vectors of channels as
 * it may have; with fewer, input elements are spread for less work. Waste of the last tile and panel included.
 */
export function pickTile(
  length: number,
  n: number,
  vectorsOf: Readonly<Record<number, number>>,
  throughput: Readonly<Record<number, number>>,
): Tile {
  let best: { readonly tile: Tile; readonly time: number } | null = null;
  for (const [key, limit] of Object.entries(vectorsOf)) {
    const mr = Number(key);
    if (mr > length) continue;
    const pixels = (ceilDiv(length, mr) * mr) / throughput[mr]!;
    for (let nv = 1; nv <= limit; nv++) {
      const steps = ceilDiv(n, 4 * nv) * (nv + SPREAD) * (limit / (limit + SPREAD));
      const time = pixels * steps;
      if (best === null || time <= best.time) best = { tile: { mr, nv, lanes: 4 }, time };
    }
  }
  return best!.tile;
}

/** One value per output channel in panel order, `pad` behind the last channel of a group. */
export function perChannel(
  values: (o: number) => number,
  g: ConvGeometry,
  loops: Loops,
  pad: number,
): number[] {
  const width = panelWidth(loops.tile) * loops.panels;
  const perGroup = g.n / g.groups;
  const out = new Array<number>(g.groups * width).fill(pad);
  for (let o = 0; o < g.n; o++) out[Math.floor(o / perGroup) * width + (o % perGroup)] = values(o);
  return out;
}

/** Multiply-accumulates of the loops, those wasted on tails included. */
export const gemmMacs = (g: ConvGeometry, loops: Loops): number =>
  loops.rows *
  loops.tiles *
  loops.tile.mr *
  g.groups *
  loops.panels *
  panelWidth(loops.tile) *
  loops.runs *
  loops.runLength;
