/**
 * @file f32 weight gradient of a convolution of each channel by itself (NHWC, 1-D and 2-D): the sums of one row of
 * the filter, for some vectors of channels, stay in registers while the pixels of an image are walked. Threads share
 * the channels; each sums its own in the same order, however many threads there are.
 */
import { add, affine, binary, fma, i32, KernelBuilder, max, min, mul } from "../../kernel/build.ts";
import type { Buffer, Expr, Kernel, KType } from "../../kernel/ir.ts";
import { convBackwardWeights } from "../../ops/nn/conv-backward-weights.ts";
import { ceilDiv } from "../../util/math.ts";
import type { Capabilities } from "../capabilities.ts";
import { type ConvGeometry, convGeometry } from "../gemm/geometry.ts";
import { definePrimitive, type Operand, operandBytes } from "../primitive.ts";

/** Outputs of a row that may read padding: each is code of its own. */
const MOST_BORDERS = 8;

interface Plan {
  readonly g: ConvGeometry;
  readonly lanes: number;
  /** Vectors of channels, and neighbouring pixels, taken together. */
  readonly nv: number;
  readonly pixels: number;
  /** Outputs [left, right) of a row read no padding. */
  readonly left: number;
  readonly right: number;
}

function planOf(g: ConvGeometry, caps: Capabilities): Plan | null {
  let lanes = caps.vectorBytes / 4;
  while (lanes > 4 && g.c % lanes !== 0) lanes /= 2;
  const nv = g.c % (2 * lanes) === 0 ? 2 : 1;
  const pixels = [4, 2].find((n) => (g.kw + n + 1) * nv <= caps.registers) ?? 1;
  const left = Math.min(g.ow, ceilDiv(g.padLeft, g.sw));
  // The last output whose window ends inside the row.
  const last = Math.floor((g.w - 1 + g.padLeft - (g.kw - 1) * g.dw) / g.sw);
  const right = Math.max(left, Math.min(g.ow, last + 1));
  if (left + g.ow - right > MOST_BORDERS) return null;
  return { g, lanes, nv, pixels, left, right };
}

export const convBackwardWeightsF32Depthwise = definePrimitive({
  name: "f32_conv_backward_weights_depthwise",
  op: convBackwardWeights,
  candidates: (input) => {
    const [x, dy] = input.ins;
    if (x?.dtype !== "f32" || dy === undefined) return [];
    const { attrs, caps } = input;
    const g = convGeometry(x, attrs.kernel, dy, attrs, attrs.groups);
    if (g === null || g.groups === 1 || g.groups !== g.c || g.n !== g.c) return [];
    const plan = planOf(g, caps);
    if (plan === null) return [];
    const operands: Operand[] = [
      { kind: "in", index: 0 },
      { kind: "in", index: 1 },
      { kind: "out", index: 0 },
      { kind: "work", id: "sums", bytes: 4 * sumsSize(plan) },
    ];
    return [
      {
        name: `f32_conv_backward_weights_depthwise_${g.kh}x${g.kw}`,
        family: "depthwise",
        work: {
          macs: g.batch * g.oh * g.ow * g.c * g.kh * g.kw,
          bytes: operandBytes(input),
        },
        implement: () => ({
          inPlace: false,
          steps: [{ kernel: kernelOf(plan), operands, args: [] }],
        }),
      },
    ];
  },
});

const sumsSize = ({ g, lanes, nv }: Plan): number => g.kh * g.kw * lanes * nv;

interface Buffers {
  readonly x: Buffer;
  readonly dy: Buffer;
  readonly dw: Buffer;
  /** [kh * kw][channels of a block]. */
  readonly sums: Buffer;
}

function kernelOf(p: Plan): Kernel {
  const { g, lanes, nv } = p;
  const k = new KernelBuilder(`f32_depthwise_backward_weights_${p.pixels}x${nv * lanes}`);
  const b: Buffers = {
    x: k.buffer("x", "f32", g.batch * g.h * g.w * g.c, "in"),
    dy: k.buffer("dy", "f32", g.batch * g.oh * g.ow * g.c, "in"),
    dw: k.buffer("dw", "f32", g.c * g.kh * g.kw, "out"),
    sums: k.buffer("sums", "f32", sumsSize(p), "work"),
  };
  const width = nv * lanes;
  const whole = g.c - (g.c % width);
  if (whole > 0) {
    const block = (i: Expr): void => addBlock(k, p, b, k.let("c", mul(i, width)), nv, lanes);
    k.forParallel("block", 0, whole / width, block, { tag: "outline" });
  }
  const vectors = Math.floor((g.c - whole) / lanes);
  if (vectors > 0) addBlock(k, p, b, i32(whole), vectors, lanes);
  k.for("c", whole + vectors * lanes, g.c, (c) => addBlock(k, p, b, c, 1, 1));
  return k.build();
}

/** The gradients of `vectors * lanes` channels from `c` on. */
function addBlock(
  k: KernelBuilder,
  p: Plan,
  b: Buffers,
  c: Expr,
  vectors: number,
  lanes: number,
): void {
  const { g } = p;
  const width = vectors * lanes;
  const taps = g.kh * g.kw;
  const type: KType = lanes === 1 ? "f32" : `f32x${lanes as 4 | 8 | 16}`;
  k.fill(b.sums, 0, 0, taps * width);
  k.for("image", 0, g.batch, (image) => {
    k.for("ky", 0, g.kh, (ky) => addFilterRow(k, p, b, { c, vectors, lanes, type, image, ky }), {
      tag: "outline",
    });
  });
  k.for("tap", 0, taps, (tap) => {
    k.for("lane", 0, width, (lane) => {
      const sum = k.load(b.sums, affine([tap, width], lane));
      k.store(b.dw, affine([add(c, lane), taps], tap), sum);
    });
  });
}

interface Part {
  readonly c: Expr;
  readonly vectors: number;
  readonly lanes: number;
  readonly type: KType;
  readonly image: Expr;
  readonly ky: Expr;
}

const ceilOf = (a: Expr, by: number): Expr =>
  by === 1 ? a : binary("div", add(a, by - 1), i32(by));

/** Adds one image to the sums of one row of the filter. */
function addFilterRow(k: KernelBuilder, p: Plan, b: Buffers, part: Part): void {
  const { g } = p;
  const { c, vectors, lanes, type, image, ky } = part;
  const place = (kx: number, v: number): Expr =>
    affine([ky, g.kw * vectors * lanes], (kx * vectors + v) * lanes);
  const sums = Array.from({ length: g.kw }, (_, kx) =>
    Array.from({ length: vectors }, (_v, v) => k.reg("sum", k.load(b.sums, place(kx, v), type))),
  );
  // Output rows whose input row lies in the image.
  const above = k.let("above", affine([ky, -g.dh], g.padTop));
  const first = k.let("oy0", max(ceilOf(above, g.sh), 0));
  const end = k.let("oy1", min(ceilOf(add(above, g.h), g.sh), g.oh));
  k.for("oy", first, end, (oy) => {
    const iy = k.let("iy", affine([oy, g.sh], [ky, g.dh], -g.padTop));
    const x = k.let(
      "x_row",
      affine([image, g.h * g.w * g.c], [iy, g.w * g.c], c, -g.padLeft * g.c),
    );
    const dy = k.let("dy_row", affine([image, g.oh * g.ow * g.c], [oy, g.ow * g.c], c));
    const tile = (ox: Expr, pixels: number): void =>
      addTile(k, p, b, { type, lanes, sums, x, dy, ox, pixels });
    for (let ox = 0; ox < p.left; ox++) tile(i32(ox), 1);
    const whole = p.right - ((p.right - p.left) % p.pixels);
    k.for("ox", p.left, whole, (ox) => tile(ox, p.pixels), { step: p.pixels });
    k.for("ox", whole, p.right, (ox) => tile(ox, 1));
    for (let ox = p.right; ox < g.ow; ox++) tile(i32(ox), 1);
  });
  sums.forEach((row, kx) => {
    row.forEach((sum, v) => k.store(b.sums, place(kx, v), sum));
  });
}

interface Tile {
  readonly type: KType;
  readonly lanes: number;
  /** [kx][vector]. */
  readonly sums: readonly (readonly Expr[])[];
  /** Where the input row begins, before its padding, and the row of cotangents. */
  readonly x: Expr;
  readonly dy: Expr;
  readonly ox: Expr;
  readonly pixels: number;
}

/** Adds neighbouring pixels. At constant places, taps that read padding are left out. */
function addTile(k: KernelBuilder, { g }: Plan, b: Buffers, t: Tile): void {
  const fixed = t.ox.kind === "const" ? Number(t.ox.value) : null;
  const inside = (column: number): boolean => {
    const at = fixed === null ? 0 : fixed * g.sw - g.padLeft + column;
    return fixed === null || (at >= 0 && at < g.w);
  };
  const ct = k.let("dy_at", affine(t.dy, [t.ox, g.c]));
  const xAt = k.let("x_at", affine(t.x, [t.ox, g.sw * g.c]));
  const vectors = t.sums[0]!.map((_, v) => v);
  const cts = Array.from({ length: t.pixels }, (_, i) =>
    vectors.map((v) => k.let("d", k.load(b.dy, add(ct, i * g.c + v * t.lanes), t.type))),
  );
  const columns = new Map<number, (readonly [pixel: number, kx: number])[]>();
  for (let pixel = 0; pixel < t.pixels; pixel++) {
    for (let kx = 0; kx < g.kw; kx++) {
      const column = pixel * g.sw + kx * g.dw;
      if (inside(column)) columns.set(column, [...(columns.get(column) ?? []), [pixel, kx]]);
    }
  }
  for (const [column, uses] of [...columns].sort(([p], [q]) => p - q)) {
    for (const v of vectors) {
      const x = k.let("x_v", k.load(b.x, add(xAt, column * g.c + v * t.lanes), t.type));
      for (const [pixel, kx] of uses) {
        const sum = t.sums[kx]![v]!;
        k.set(sum, fma(cts[pixel]![v]!, x, sum));
      }
    }
  }
}
