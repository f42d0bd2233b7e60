/**
 * @file The kernel of f32 depthwise convolution in NHWC, one output channel per input channel. It reads the
 * input where it lies: tiles of neighbouring pixels, each column and tap loaded once for all of them; tiles at
 * the borders of the image leave padding out.
 */
import type { Activation } from "../../graph/op.ts";
import {
  add,
  affine,
  binary,
  type ExprLike,
  fma,
  i32,
  KernelBuilder,
  max,
  min,
  mul,
  sub,
} from "../../kernel/build.ts";
import type { Buffer, Expr, Kernel, KType } from "../../kernel/ir.ts";
import { SCALARS } from "../../ops/scalar.ts";
import { ceilDiv } from "../../util/math.ts";
import type { Capabilities } from "../capabilities.ts";
import { isInvolved } from "../gemm/f32.ts";
import type { ConvGeometry } from "../gemm/geometry.ts";

/** The kernel computes `pixels` neighbouring outputs of `lanes` channels together. */
export interface DepthwiseTile {
  readonly pixels: number;
  readonly lanes: number;
}

/** Outputs at the left (right) of a row that read padding before (behind) it. */
function borders(g: ConvGeometry): { readonly left: number; readonly right: number } {
  const left = Math.min(g.ow, ceilDiv(g.padLeft, g.sw));
  // The last output whose window ends inside the row.
  const last = Math.floor((g.w - 1 + g.padLeft - (g.kw - 1) * g.dw) / g.sw);
  return { left, right: Math.max(0, g.ow - 1 - last) };
}

/** Tiles with constant columns a kernel may have: each is code of its own. */
const MOST_BORDER_TILES = 4;

/** Where the tiles of a row begin: constants at its borders, a run of tiles between them. */
interface RowTiles {
  readonly left: readonly number[];
  readonly right: readonly number[];
  /** First output of the run, tiles in it, and the last place where one may begin. */
  readonly begin: number;
  readonly count: number;
  readonly last: number;
}

function rowTiles(g: ConvGeometry, pixels: number): RowTiles {
  const { left, right } = borders(g);
  const [before, behind] = [ceilDiv(left, pixels), ceilDiv(right, pixels)];
  const starts = (count: number, from: number): number[] =>
    Array.from({ length: count }, (_, i) => from + i * pixels);
  const begin = before * pixels;
  const end = g.ow - behind * pixels;
  const last = g.ow - right - pixels;
  if (end - begin < pixels && (begin > last || last < left)) {
    const all = starts(ceilDiv(g.ow, pixels), 0).map((at) => Math.min(at, g.ow - pixels));
    return { left: all, right: [], begin: 0, count: 0, last: 0 };
  }
  const count = ceilDiv(Math.max(0, end - begin), pixels);
  return { left: starts(before, 0), right: starts(behind, end), begin, count, last };
}

/** The tile for a row: sums beside a row of taps in the registers, the fewest wasted; null: borders are too wide. */
export function depthwiseTile(g: ConvGeometry, caps: Capabilities): DepthwiseTile | null {
  let lanes = caps.vectorBytes / 4;
  while (lanes > 4 && g.c < lanes) lanes /= 2;
  const room = Math.max(2, caps.registers - g.kw - 1);
  const most = Math.min(8, room, g.ow);
  const sizes = Array.from({ length: most }, (_, i) => i + 1).filter((n) => {
    const { left, right } = rowTiles(g, n);
    return left.length + right.length <= MOST_BORDER_TILES;
  });
  const waste = (n: number): number => (ceilDiv(g.ow, n) * n) / g.ow + 1 / n;
  const [pixels] = sizes.sort((a, b) => waste(a) - waste(b));
  return pixels === undefined ? null : { pixels, lanes: g.c < lanes ? 1 : lanes };
}

interface Operands {
  readonly x: Buffer;
  readonly w: Buffer;
  readonly bias: Buffer;
  readonly y: Buffer;
  /** Where the sums of a tile go before an activation that calls functions. */
  readonly sums: Buffer | null;
}

/** Taps [kh * kw][C], bias [C]. */
export function depthwiseKernel(
  g: ConvGeometry,
  { pixels, lanes }: DepthwiseTile,
  act: Activation | undefined,
): Kernel {
  const k = new KernelBuilder(`f32_depthwise_${pixels}x${lanes}`);
  const size = g.batch * g.c;
  const buffers: Operands = {
    x: k.buffer("x", "f32", size * g.h * g.w, "in"),
    w: k.buffer("w", "f32", g.kh * g.kw * g.c, "const"),
    bias: k.buffer("bias", "f32", g.c, "const"),
    y: k.buffer("y", "f32", size * g.oh * g.ow, "out"),
    sums: isInvolved(act) ? k.buffer("sums", "f32", pixels * lanes, "work") : null,
  };
  const row = (image: Expr, oy: Expr): void => {
    const iy = k.let("iy", affine([oy, g.sh], -g.padTop));
    const above = ceilTo(sub(0, iy), g.dh);
    const below = ceilTo(sub(g.h, iy), g.dh);
    const reads: Row = {
      first: g.padTop > 0 ? k.let("ky0", max(above, 0)) : i32(0),
      end:
        (g.oh - 1) * g.sh - g.padTop + (g.kh - 1) * g.dh >= g.h
          ? k.let("ky1", min(below, g.kh))
          : i32(g.kh),
      x: k.let("x_row", affine([image, g.h * g.w * g.c], [iy, g.w * g.c])),
      y: k.let("y_row", affine([image, g.oh * g.ow * g.c], [oy, g.ow * g.c])),
    };
    forEachTile(k, g, pixels, (ox) => tile(k, g, { pixels, lanes }, act, buffers, reads, ox));
  };
  k.forParallel("image", 0, g.batch, (image) => {
    k.forParallel("oy", 0, g.oh, (oy) => row(image, oy), { tag: "outline" });
  });
  return k.build();
}

/** Rows of the filter that read the image, first and one behind the last, and where rows begin. */
interface Row {
  readonly first: Expr;
  readonly end: Expr;
  readonly x: Expr;
  readonly y: Expr;
}

const ceilTo = (a: Expr, step: number): Expr =>
  step === 1 ? a : binary("div", add(a, step - 1), i32(step));

/** Tiles at the borders get constant columns: what they read outside the row is left out. */
function forEachTile(
  k: KernelBuilder,
  g: ConvGeometry,
  pixels: number,
  body: (ox: Expr) => void,
): void {
  const { left, right, begin, count, last } = rowTiles(g, pixels);
  for (const at of left) body(i32(at));
  if (count > 0) {
    const inside = begin + (count - 1) * pixels <= last;
    k.forParallel("tile", 0, count, (t) => {
      const at = affine([t, pixels], begin);
      body(k.let("ox", inside ? at : min(at, last)));
    });
  }
  for (const at of right) body(i32(at));
}

/** One tile, channel by channel: what is read and written next lies side by side. */
function tile(
  k: KernelBuilder,
  g: ConvGeometry,
  { pixels, lanes }: DepthwiseTile,
  act: Activation | undefined,
  { x, w, bias, y, sums }: Operands,
  row: Row,
  ox: Expr,
): void {
  const type: KType = lanes === 1 ? "f32" : `f32x${lanes}`;
  const fixed = ox.kind === "const" ? Number(ox.value) : null;
  const xAt = k.let("x_at", affine(row.x, [ox, g.sw * g.c], -g.padLeft * g.c));
  const yAt = k.let("y_at", affine(row.y, [ox, g.c]));
  const columns = readers(g, pixels, fixed);
  const body = (c: ExprLike): void => {
    const start = k.let("b", k.load(bias, c, type));
    const acc = Array.from({ length: pixels }, () => k.reg("acc", start));
    k.for("ky", row.first, row.end, (ky) => {
      const taps = Array.from({ length: g.kw }, (_, kx) =>
        k.let("tap", k.load(w, affine([ky, g.kw * g.c], c, kx * g.c), type)),
      );
      for (const [column, uses] of columns) {
        const at = affine(xAt, [ky, g.dh * g.w * g.c], c, column * g.c);
        const value = k.let("v", k.load(x, at, type));
        for (const [pixel, kx] of uses) k.set(acc[pixel]!, fma(value, taps[kx]!, acc[pixel]!));
      }
    });
    const finish = (i: ExprLike, sum: Expr): void => {
      const v = act === undefined ? sum : SCALARS[act.fn]!.expr(k.let("t", sum), act);
      k.store(y, affine(yAt, c, [i, g.c]), v);
    };
    if (sums === null) acc.forEach((sum, i) => finish(i, sum));
    else {
      // Called among sums in registers, each call would save and restore them all.
      acc.forEach((sum, i) => k.store(sums, i * lanes, sum));
      k.for("i", 0, pixels, (i) => finish(i, k.load(sums, mul(i, lanes), type)));
    }
  };
  if (g.c % lanes === 0) k.for("c", 0, g.c, body, { step: lanes });
  else {
    k.for("v", 0, ceilDiv(g.c, lanes), (v) => body(k.let("c", min(mul(v, lanes), g.c - lanes))));
  }
}

type Uses = readonly (readonly [pixel: number, kx: number])[];

/** The columns a tile reads, relative to the first of its first pixel, and which pixels and taps use each. */
function readers(
  g: ConvGeometry,
  pixels: number,
  ox: number | null,
): readonly (readonly [column: number, uses: Uses])[] {
  const found = new Map<number, (readonly [number, number])[]>();
  const first = ox === null ? null : ox * g.sw - g.padLeft;
  for (let pixel = 0; pixel < pixels; pixel++) {
    for (let kx = 0; kx < g.kw; kx++) {
      const column = pixel * g.sw + kx * g.dw;
      const inside = first === null || (first + column >= 0 && first + column < g.w);
      if (inside) found.set(column, [...(found.get(column) ?? []), [pixel, kx]]);
    }
  }
  return [...found].sort(([a], [b]) => a - b);
}
