/**
 * @file The kernel of f32 depthwise convolution in NCHW, one output channel per input channel, for networks
 * whose products are sparse. Each plane is brought into scratch with its padding; vectors lie along rows.
 */
import type { Activation } from "../../graph/op.ts";
import { add, affine, fma, KernelBuilder, min, mul, shuffle } from "../../kernel/build.ts";
import type { Buffer, Expr, Kernel } from "../../kernel/ir.ts";
import { SCALARS } from "../../ops/scalar.ts";
import { emitRun } from "../../ops/shape/strided.ts";
import { ceilDiv } from "../../util/math.ts";
import type { ConvGeometry } from "../gemm/geometry.ts";

/** Vectors of a row, and rows, computed together at most. */
const VECTORS = 4;
const SUMS = 8;
/** Elements behind the plane that vectors of the last pixels may read. */
const SLACK = 8;

const rowsRead = (g: ConvGeometry): number => (g.oh - 1) * g.sh + (g.kh - 1) * g.dh + 1;

/** Elements of the plane in scratch. */
export const planeSize = (g: ConvGeometry): number => rowsRead(g) * g.span + SLACK;

/** Whether the kernel can compute this geometry. */
export const fitsPlanes = (g: ConvGeometry): boolean =>
  g.ow >= 4 && g.sw <= 2 && g.groups === g.c && g.n === g.c;

interface Tile {
  readonly rows: number;
  /** First pixel of each vector, relative to the tile's. */
  readonly starts: readonly number[];
  readonly columns: number;
}

function tileOf(g: ConvGeometry): Tile {
  const whole = Math.floor(g.ow / 4) >= VECTORS;
  const vectors = whole ? VECTORS : ceilDiv(g.ow, 4);
  const starts = Array.from({ length: vectors }, (_, i) =>
    whole ? 4 * i : Math.min(4 * i, g.ow - 4),
  );
  return {
    rows: Math.min(g.oh, Math.floor(SUMS / vectors)),
    starts,
    columns: whole ? 4 * vectors : g.ow,
  };
}

/** Weights [C][kh * kw], bias [C]; buffers x, w, bias, y, plane. */
export function planesKernel(g: ConvGeometry, act: Activation | undefined): Kernel {
  const k = new KernelBuilder(`f32_depthwise_planes_${g.kh}x${g.kw}`);
  const planes = g.batch * g.c;
  const taps = g.kh * g.kw;
  const x = k.buffer("x", "f32", planes * g.h * g.w, "in");
  const w = k.buffer("w", "f32", g.c * taps, "const");
  const bias = k.buffer("bias", "f32", g.c, "const");
  const y = k.buffer("y", "f32", planes * g.oh * g.ow, "out");
  const plane = k.buffer("plane", "f32", planeSize(g), "work");
  const tile = tileOf(g);
  k.fill(plane, 0, 0, planeSize(g));
  k.forParallel("image", 0, g.batch, (image) => {
    k.forParallel(
      "c",
      0,
      g.c,
      (c) => {
        const p = k.let("p", affine([image, g.c], c));
        stage(k, g, x, plane, k.let("from", mul(p, g.h * g.w)));
        const filter = k.let("filter", mul(c, taps));
        k.for("row", 0, ceilDiv(g.oh, tile.rows), (r) => {
          const oy = k.let("oy", min(mul(r, tile.rows), g.oh - tile.rows));
          k.for("column", 0, ceilDiv(g.ow, tile.columns), (t) => {
            const ox = k.let("ox", min(mul(t, tile.columns), g.ow - tile.columns));
            const start = k.loadGroup(bias, c, "f32x4");
            const to = k.let("to", affine([p, g.oh * g.ow], [oy, g.ow], ox));
            emitTile(k, g, tile, act, { w, y, plane }, { filter, oy, ox, to, start });
          });
        });
      },
      { tag: "outline" },
    );
  });
  return k.build();
}

/** Copies the rows that are read to their place in the padded plane. */
function stage(k: KernelBuilder, g: ConvGeometry, x: Buffer, plane: Buffer, from: Expr): void {
  const rows = Math.min(g.h, rowsRead(g) - g.padTop);
  const columns = Math.min(g.w, g.span - g.padLeft);
  const first = g.padTop * g.span + g.padLeft;
  k.for("y", 0, rows, (r) => {
    const to = k.let("to", affine([r, g.span], first));
    emitRun(k, plane, to, x, k.let("source", affine(from, [r, g.w])), columns);
  });
}

/** Where a tile reads and writes. */
interface Place {
  /** First tap of the channel. */
  readonly filter: Expr;
  readonly oy: Expr;
  readonly ox: Expr;
  readonly to: Expr;
  /** What sums start from. */
  readonly start: Expr;
}

function emitTile(
  k: KernelBuilder,
  g: ConvGeometry,
  tile: Tile,
  act: Activation | undefined,
  { w, y, plane }: Readonly<Record<"w" | "y" | "plane", Buffer>>,
  { filter, oy, ox, to, start }: Place,
): void {
  const bias = k.let("b", start);
  const sums = Array.from({ length: tile.rows }, () => tile.starts.map(() => k.reg("sum", bias)));
  const origin = k.let("origin", affine([oy, g.sh * g.span], [ox, g.sw]));
  const read = (at: Expr): Expr => {
    if (g.sw === 1) return k.load(plane, at, "f32x4");
    const [low, high] = [at, add(at, 4)].map((i) => k.let("v", k.load(plane, i, "f32x4")));
    return shuffle(low!, high!, [0, 2, 4, 6]);
  };
  k.for("ky", 0, g.kh, (ky) => {
    const row = k.let("row", affine(origin, [ky, g.dh * g.span]));
    const tapRow = k.let("taps", affine(filter, [ky, g.kw]));
    for (let kx = 0; kx < g.kw; kx++) {
      const tap = k.let("tap", k.loadGroup(w, add(tapRow, kx), "f32x4"));
      for (const [r, line] of sums.entries()) {
        for (const [i, sum] of line.entries()) {
          const at = add(row, r * g.sh * g.span + tile.starts[i]! * g.sw + kx * g.dw);
          k.set(sum, fma(read(at), tap, sum));
        }
      }
    }
  });
  for (const [r, line] of sums.entries()) {
    for (const [i, sum] of line.entries()) {
      const v = act === undefined ? sum : SCALARS[act.fn]!.expr(k.let("t", sum), act);
      k.store(y, add(to, r * g.ow + tile.starts[i]!), v);
    }
  }
}
