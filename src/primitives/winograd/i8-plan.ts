/** @file How an 8-bit Winograd convolution cuts the image into bands of tiles, and its weights. */
import { add, affine, KernelBuilder } from "../../kernel/build.ts";
import type { Expr, Kernel } from "../../kernel/ir.ts";
import { type Tensor, tensorType } from "../../tensor/tensor.ts";
import { alignUp, ceilDiv } from "../../util/math.ts";
import type { ConvGeometry } from "../gemm/geometry.ts";
import { POINTS, SPAN, TAPS, TILE, transformWeights } from "./exact.ts";

/** Output channels of a panel; also the i16 lanes of a vector. */
export const PANEL = 8;
/** Tiles that share a load of weights. */
export const HEIGHT = 4;
/** Bytes that the transformed tiles of a band may take, to stay in the second-level cache. */
const BAND_BYTES = 192 * 1024;

/** How the image is cut, in tiles; the last tile of a row and the last band overlap those before. */
export interface Bands {
  readonly columns: number;
  readonly tileRows: number;
  /** Rows of tiles in a band, bands in an image, tiles in a band. */
  readonly rows: number;
  readonly bands: number;
  readonly tiles: number;
  /** Input channels and output channels as stored. */
  readonly c: number;
  readonly n: number;
  /** Elements from one row of the workspace to the next. */
  readonly pitch: number;
}

export function planBands(g: ConvGeometry): Bands {
  const columns = ceilDiv(g.ow, TILE);
  const tileRows = ceilDiv(g.oh, TILE);
  const [c, n] = [alignUp(g.c, PANEL), alignUp(g.n, PANEL)];
  const rowBytes = columns * POINTS * (2 * c + 4 * n);
  const most = Math.max(1, Math.floor(BAND_BYTES / rowBytes), ceilDiv(HEIGHT, columns));
  const bands = ceilDiv(tileRows, Math.min(most, tileRows));
  const rows = ceilDiv(tileRows, bands);
  const pitch = alignUp((g.ow + TAPS - 1) * g.c, PANEL);
  return { columns, tileRows, rows, bands, tiles: rows * columns, c, n, pitch };
}

/** i8 [panel][tap][pair of input channels][8][2], zero where channels do not exist. */
export function packTaps(w: Tensor, g: ConvGeometry, b: Bands): Tensor {
  const packed = new Int8Array(TAPS * TAPS * b.n * b.c);
  for (let o = 0; o < g.n; o++) {
    for (let t = 0; t < TAPS * TAPS; t++) {
      for (let i = 0; i < g.c; i++) {
        const pair = ((Math.floor(o / PANEL) * TAPS * TAPS + t) * b.c) / 2 + (i >> 1);
        const at = (pair * PANEL + (o % PANEL)) * 2 + (i & 1);
        packed[at] = w.data[(o * TAPS * TAPS + t) * g.c + i] as number;
      }
    }
  }
  return { type: tensorType("i8", [packed.length]), data: packed };
}

/** Transforms packed weights, once when the model is loaded. */
export function weightKernel(b: Bands): Kernel {
  const k = new KernelBuilder("i8_winograd_weights");
  const src = k.buffer("src", "i8", TAPS * TAPS * b.n * b.c, "const");
  const dst = k.buffer("dst", "i16", POINTS * b.n * b.c, "out");
  const depth = b.c * PANEL;
  const name = (hint: string, e: Expr): Expr => k.let(hint, e);
  k.forParallel(
    "panel",
    0,
    b.n / PANEL,
    (panel) => {
      k.for(
        "i",
        0,
        depth,
        (i) => {
          const from = k.let("from", affine([panel, TAPS * TAPS * depth], i));
          const columns = [0, 1, 2].map((x) => {
            const taps = [0, 1, 2].map((y) =>
              k.let("g", k.load(src, add(from, (y * TAPS + x) * depth), "i16x8")),
            );
            return transformWeights(taps, name).map((e) => name("u", e));
          });
          const to = k.let("to", affine([panel, depth], i));
          for (let y = 0; y < SPAN; y++) {
            const row = transformWeights(
              columns.map((column) => column[y]!),
              name,
            );
            row.forEach((e, x) => k.store(dst, add(to, (y * SPAN + x) * b.n * b.c), e));
          }
        },
        { step: 8 },
      );
    },
    { tag: "outline" },
  );
  return k.build();
}
