/**
 * @file f32 depthwise convolution, NHWC, one output channel per input channel: vectors of channels,
 * several pixels at a time, so that taps and columns are
 * loaded once for all that use them.
 */
import { affine, fma, KernelBuilder, min, mul } from "../../kernel/build.ts";
import type { Expr, KType } from "../../kernel/ir.ts";
import { conv } from "../../ops/nn/conv.ts";
import { SCALARS } from "../../ops/scalar.ts";
import { type Tensor, tensorOf } from "../../tensor/tensor.ts";
import { ceilDiv } from "../../util/math.ts";
import { storeLanes } from "../gemm/f32.ts";
import { type ConvGeometry, convGeometry, type Loops } from "../gemm/geometry.ts";
import { forEachRow } from "../gemm/loops.ts";
import { fillBorders, packRows, type RowMover, workspaceSize } from "../gemm/rows.ts";
import { definePrimitive, type Operand } from "../primitive.ts";
import { packedStorage } from "../storage.ts";

/** The loops of a depthwise convolution: rows as in a product, no panels. */
export const depthwiseLoops = (g: ConvGeometry): Loops => ({
  rows: g.batch * g.oh,
  length: g.ow,
  flat: false,
  tile: { mr: 1, nv: 1, lanes: 4 },
  tiles: g.ow,
  panels: 1,
  runs: g.kh * g.kw,
  runLength: 1,
});

/** [taps][C rounded up to 4], zero-padded. */
function packTaps(w: Tensor, g: ConvGeometry): Tensor {
  const taps = g.kh * g.kw;
  const width = Math.ceil(g.c / 4) * 4;
  const packed = new Array<number>(taps * width).fill(0);
  for (let c = 0; c < g.c; c++) {
    for (let t = 0; t < taps; t++) packed[t * width + c] = w.data[c * taps + t] as number;
  }
  return tensorOf("f32", [packed.length], packed);
}

function packBias(bias: Tensor | undefined, g: ConvGeometry): Tensor {
  const width = Math.ceil(g.c / 4) * 4;
  const value = (c: number): number =>
    bias === undefined || c >= g.c ? 0 : (bias.data[c] as number);
  return tensorOf(
    "f32",
    [width],
    Array.from({ length: width }, (_, c) => value(c)),
  );
}

export const convF32Depthwise = definePrimitive({
  name: "f32_conv_depthwise",
  op: conv,
  candidates: ({ ins, outs, attrs, constants, storage, caps }) => {
    const [x, w, bias] = ins;
    const weights = constants[1];
    if (x?.dtype !== "f32" || w?.dtype !== "f32" || weights === undefined) return [];
    if (ins.length > 3 || (bias !== undefined && constants[2] === undefined)) return [];
    const g = convGeometry(x, w.shape.slice(1, -1), outs[0]!, attrs, attrs.groups);
    if (g === null || g.groups !== g.c || g.n !== g.c) return [];
    const act = attrs.act;
    const scalar = act === undefined ? undefined : SCALARS[act.fn];
    if (act !== undefined && scalar === undefined) return [];
    const outputs = g.batch * g.oh * g.ow * g.c;
    const name = `f32_conv_depthwise_${g.kh}x${g.kw}`;
    const work = {
      macs: outputs * g.kh * g.kw,
      bytes: 4 * (g.batch * g.oh * g.kh * g.span * g.c + outputs),
    };
    return [
      {
        name,
        family: "depthwise",
        work,
        implement: () => {
          const loops = depthwiseLoops(g);
          const taps = packTaps(weights, g);
          const width = taps.data.length / (g.kh * g.kw);
          // The last vector of a pixel may read past its channels, so the input always goes through rows.
          const staged = g.padded || g.c % 4 !== 0;
          const size = workspaceSize(g, loops) + 4;
          const k = new KernelBuilder("f32_depthwise");
          const xb = k.buffer("x", "f32", g.batch * g.h * g.w * g.c, "in");
          const wb = k.buffer("w", "f32", taps.data.length, "const");
          const bb = k.buffer("bias", "f32", width, "const");
          const yb = k.buffer("y", "f32", g.batch * g.oh * g.ow * g.c, "out");
          const work = staged ? k.buffer("rows", "f32", size, "work") : null;
          const source = work ?? xb;
          const mover: RowMover = {
            copy: (from, to, count) => k.copy(source, to, xb, from, count),
            fill: (to, count) => k.fill(source, to, 0, count),
          };
          if (work !== null) fillBorders(g, loops, mover);
          const rowStride = staged ? g.span * g.c : g.dh * g.w * g.c;
          forEachRow(k, g, loops, (row) => {
            if (work !== null) packRows(k, g, loops, row, mover);
            const start = staged ? null : row.x;
            const pixels = pixelTile(g.ow, caps.registers - g.kw - 1);
            k.forParallel("tile", 0, ceilDiv(g.ow, pixels), (t) => {
              const at = mul(t, pixels);
              const ox = g.ow % pixels === 0 ? at : k.let("ox", min(at, g.ow - pixels));
              const x = k.let("x_at", affine(...(start ? [start] : []), [ox, g.sw * g.c]));
              const y = k.let("y_at", affine(row.y, [ox, g.c]));
              // Channels innermost: what is read and written next lies side by side.
              channels(k, g.c, caps.vectorBytes / 4, (c, lanes, stored) => {
                const type: KType = `f32x${lanes}`;
                const bias = k.let("b", k.load(bb, c, type));
                const acc = Array.from({ length: pixels }, () => k.reg("acc", bias));
                convolve(k, g, acc, {
                  load: (ky, column) =>
                    k.load(source, affine(x, [ky, rowStride], column * g.c, c), type),
                  tap: (ky, kx) => k.load(wb, affine([ky, g.kw * width], kx * width, c), type),
                });
                acc.forEach((sum, i) => {
                  const v = scalar === undefined ? sum : scalar.expr(k.let("t", sum), act!);
                  storeLanes(k, yb, affine(y, i * g.c, c), v, stored);
                });
              });
            });
          });
          const order = (scale: (c: number) => number): number[] =>
            Array.from({ length: width }, (_, c) => (c < g.c ? scale(c) : 1));
          const stored = storage[1] && packedStorage(storage[1], taps.data.length, width, order);
          const operands: Operand[] = [
            { kind: "in", index: 0 },
            { kind: "const", name: "weights", tensor: taps, ...(stored && { storage: stored }) },
            { kind: "const", name: "bias", tensor: packBias(constants[2], g) },
            { kind: "out", index: 0 },
          ];
          if (staged) operands.push({ kind: "work", id: "rows", bytes: 4 * size });
          return { inPlace: false, steps: [{ kernel: k.build(), operands, args: [] }] };
        },
      },
    ];
  },
});

/**
 * Calls `body` for each vector of channels: as wide as possible, then narrower ones, and one of four of which only
 * `stored` are channels.
 */
function channels(
  k: KernelBuilder,
  count: number,
  widest: number,
  body: (c: Expr, lanes: number, stored: number) => void,
): void {
  let done = 0;
  for (let lanes = widest; lanes >= 4; lanes /= 2) {
    const end = count - ((count - done) % lanes);
    k.for("c", done, end, (c) => body(c, lanes, lanes), { step: lanes });
    done = end;
  }
  if (done < count) k.for("c", done, count, (c) => body(c, 4, count - done), { step: 4 });
}

/** Pixels computed together: sums beside a row of taps in the registers, the fewest wasted. */
function pixelTile(length: number, registers: number): number {
  const waste = (n: number): number => (ceilDiv(length, n) * n) / length + 0.4 / n;
  const most = Math.min(length, registers < 16 ? 6 : 8);
  const sizes = Array.from({ length: most }, (_, i) => i + 1);
  return sizes.reduce((best, n) => (waste(n) <= waste(best) ? n : best), 1);
}

/** Loads of a filter row: input columns relative to the first pixel's, and taps. */
interface FilterRow {
  readonly load: (ky: Expr, column: number) => Expr;
  readonly tap: (ky: Expr, kx: number) => Expr;
}

/** Adds the filter to neighbouring pixels' sums; each input column is loaded once for all that read it. */
function convolve(k: KernelBuilder, g: ConvGeometry, acc: readonly Expr[], row: FilterRow): void {
  const readers = new Map<number, [pixel: number, kx: number][]>();
  acc.forEach((_, pixel) => {
    for (let kx = 0; kx < g.kw; kx++) {
      const column = pixel * g.sw + kx * g.dw;
      readers.set(column, [...(readers.get(column) ?? []), [pixel, kx]]);
    }
  });
  k.for("ky", 0, g.kh, (ky) => {
    const taps = Array.from({ length: g.kw }, (_, kx) => k.let("tap", row.tap(ky, kx)));
    for (const [column, uses] of [...readers].sort(([p], [q]) => p - q)) {
      const value = k.let("v", row.load(ky, column));
      for (const [pixel, kx] of uses) k.set(acc[pixel]!, fma(value, taps[kx]!, acc[pixel]!));
    }
  });
}
