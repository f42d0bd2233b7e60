/** @file How an f32 Winograd convolution cuts the image into bands of tiles, what that costs, and its weights. */
import { add, affine, KernelBuilder } from "../../kernel/build.ts";
import type { Expr, Kernel } from "../../kernel/ir.ts";
import { type Tensor, tensorType } from "../../tensor/tensor.ts";
import { ceilDiv } from "../../util/math.ts";
import type { Capabilities } from "../capabilities.ts";
import { type ConvGeometry, panelWidth, type Tile } from "../gemm/geometry.ts";
import { tileF32 } from "../gemm/tile.ts";
import { applyMatrix, type Transforms, UNFUSED } from "./linear.ts";

export const TAPS = 3;
/** Bytes that the transformed tiles of a band may take, to stay in the second-level cache. */
const BAND_BYTES = 512 * 1024;

/** How the image is cut, in tiles; the last band overlaps the one before. */
export interface Bands {
  readonly t: Transforms;
  readonly columns: number;
  readonly tileRows: number;
  /** Rows of tiles in a band, bands in an image, tiles in a band. */
  readonly rows: number;
  readonly bands: number;
  readonly tiles: number;
  readonly tile: Tile;
  readonly panels: number;
  /** Lanes of the vectors of input channels. */
  readonly lanes: number;
  /** Elements from one row of the workspace to the next. */
  readonly pitch: number;
}

export function planBands(g: ConvGeometry, t: Transforms, caps: Capabilities): Bands {
  const columns = ceilDiv(g.ow, t.outputs);
  const tileRows = ceilDiv(g.oh, t.outputs);
  const rowBytes = 4 * columns * t.span * t.span * g.c;
  const most = Math.min(tileRows, Math.max(1, Math.floor(BAND_BYTES / rowBytes)));
  const bands = ceilDiv(tileRows, most);
  const rows = ceilDiv(tileRows, bands);
  const tiles = rows * columns;
  const tile = tileF32(caps, tiles, g.n);
  let lanes = caps.vectorBytes / 4;
  while (g.c % lanes !== 0) lanes /= 2;
  return {
    t,
    columns,
    tileRows,
    rows,
    bands,
    tiles,
    tile,
    panels: ceilDiv(g.n, panelWidth(tile)),
    lanes,
    pitch: (columns * t.outputs + TAPS - 1) * g.c,
  };
}

/** Multiply-accumulates of the products, those wasted on tails included. */
export const winogradMacs = (g: ConvGeometry, b: Bands): number =>
  g.batch *
  b.bands *
  ceilDiv(b.tiles, b.tile.mr) *
  b.tile.mr *
  b.t.span ** 2 *
  g.c *
  b.panels *
  panelWidth(b.tile);

/** Bytes the transforms and the weights move. */
export function winogradBytes(g: ConvGeometry, b: Bands): number {
  const points = b.t.span ** 2;
  const tiles = g.batch * b.bands * b.tiles;
  const n = b.panels * panelWidth(b.tile);
  const input = 2 * b.t.span * b.t.outputs * g.c + 2 * points * g.c;
  const output = 2 * points * n + 2 * b.t.span * b.t.outputs * n;
  return 4 * (tiles * (input + output) + g.batch * b.bands * points * g.c * n);
}

/** Weights [O, 3, 3, C] as [panel][tap][C][panel width], zero where channels do not exist. */
export function packTaps(w: Tensor, g: ConvGeometry, b: Bands): Tensor {
  const width = panelWidth(b.tile);
  const taps = TAPS * TAPS;
  const packed = new Float32Array(b.panels * taps * g.c * width);
  for (let o = 0; o < g.n; o++) {
    const panel = Math.floor(o / width);
    for (let t = 0; t < taps; t++) {
      for (let c = 0; c < g.c; c++) {
        const at = ((panel * taps + t) * g.c + c) * width + (o % width);
        packed[at] = w.data[(o * taps + t) * g.c + c] as number;
      }
    }
  }
  return { type: tensorType("f32", [packed.length]), data: packed };
}

/** Transforms packed weights, once when the model is loaded. */
export function weightKernel(g: ConvGeometry, b: Bands): Kernel {
  const { t } = b;
  const depth = g.c * panelWidth(b.tile);
  const k = new KernelBuilder(`f32_winograd_weights_${t.outputs}`);
  const src = k.buffer("src", "f32", b.panels * TAPS * TAPS * depth, "const");
  const dst = k.buffer("dst", "f32", b.panels * t.span ** 2 * depth, "out");
  const apply = (xs: readonly Expr[]): Expr[] =>
    applyMatrix(t.weights, xs, (hint, e) => k.let(hint, e), UNFUSED).map((e) => k.let("u", e));
  const block = (panel: Expr, i: Expr): void => {
    const from = k.let("from", affine([panel, TAPS * TAPS * depth], i));
    const columns = [0, 1, 2].map((x) =>
      apply(
        [0, 1, 2].map((y) => k.let("g", k.load(src, add(from, (y * TAPS + x) * depth), "f32x4"))),
      ),
    );
    const to = k.let("to", affine([panel, t.span ** 2 * depth], i));
    for (let y = 0; y < t.span; y++) {
      apply(columns.map((column) => column[y]!)).forEach((e, x) => {
        k.store(dst, add(to, (y * t.span + x) * depth), e);
      });
    }
  };
  k.forParallel(
    "panel",
    0,
    b.panels,
    (panel) => {
      k.for("i", 0, depth, (i) => block(panel, i), { step: 4 });
    },
    { tag: "outline" },
  );
  return k.build();
}
