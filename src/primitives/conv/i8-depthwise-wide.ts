/**
 * @file 8-bit depthwise convolution for targets with wide vectors, NHWC, one output channel per input channel: as
 * many channels at a time as a vector has 32-bit lanes, several pixels at a time, so that taps and columns are loaded
 * once for all that use them. A product is a dot16 whose second term is zero. Weights: [tap][channel][w, 0], i16.
 */
import { add, affine, cast, dot16, KernelBuilder, min, mul } from "../../kernel/build.ts";
import type { Buffer, Expr, KType } from "../../kernel/ir.ts";
import { conv } from "../../ops/nn/conv.ts";
import { tableConstant } from "../../ops/quant/requantize-rule.ts";
import { type Tensor, tensorOf } from "../../tensor/tensor.ts";
import { alignUp, ceilDiv } from "../../util/math.ts";
import type { Capabilities } from "../capabilities.ts";
import { type ByteResult, storeWide } from "../gemm/byte-results.ts";
import { type ConvGeometry, convGeometry, type Loops } from "../gemm/geometry.ts";
import { type Parameter, requantParameters, weightSums } from "../gemm/i8-pack.ts";
import { forEachRow } from "../gemm/loops.ts";
import { isTame, type QuantisedNode, quantisedNode } from "../gemm/quantised.ts";
import { fillBorders, packRows, type RowMover, workspaceSize } from "../gemm/rows.ts";
import { definePrimitive, type Operand, type Step } from "../primitive.ts";

/** Channels rounded up to whole vectors of four. */
const widthOf = (g: ConvGeometry): number => alignUp(g.c, 4);

const loopsOf = (g: ConvGeometry): Loops => ({
  rows: g.batch * g.oh,
  length: g.ow,
  flat: false,
  tile: { mr: 1, nv: 1, lanes: 4 },
  tiles: g.ow,
  panels: 1,
  runs: g.kh * g.kw,
  runLength: 1,
});

function packTaps(w: Tensor, g: ConvGeometry): Tensor {
  const taps = g.kh * g.kw;
  const packed = new Int16Array(taps * widthOf(g) * 2);
  for (let c = 0; c < g.c; c++) {
    for (let t = 0; t < taps; t++) {
      packed[(t * widthOf(g) + c) * 2] = w.data[c * taps + t] as number;
    }
  }
  return { type: { dtype: "i16", shape: [packed.length] }, data: packed };
}

/** Bias less the zero point's share. */
function startValues(node: QuantisedNode, g: ConvGeometry): Tensor {
  const sums = weightSums(node.weights, g.c);
  const start = (c: number): number => {
    if (c >= g.c) return 0;
    const bias = node.bias === undefined ? 0 : (node.bias.data[c] as number);
    return (bias - Math.imul(node.xZero, sums[c]!)) | 0;
  };
  const n = widthOf(g);
  return tensorOf(
    "i32",
    [n],
    Array.from({ length: n }, (_, c) => start(c)),
  );
}

export const convI8DepthwiseWide = definePrimitive({
  name: "i8_conv_depthwise_wide",
  op: conv,
  candidates: ({ ins, outs, attrs, constants, caps }) => {
    const node = quantisedNode(ins, outs[0]!, constants, attrs);
    if (node === null) return [];
    const g = convGeometry(ins[0]!, ins[1]!.shape.slice(1, -1), outs[0]!, attrs, attrs.groups);
    if (g === null || g.groups !== g.c || g.n !== g.c) return [];
    if (!takesWide(node, g, caps)) return [];
    const outputs = g.batch * g.oh * g.ow * g.c;
    const moved = g.padded ? g.batch * g.oh * g.kh * g.span * g.c : 0;
    const work = { macs: outputs * g.kh * g.kw, bytes: outputs + moved };
    const implement = () => ({ inPlace: false, steps: [depthwiseStep(node, g, caps)] });
    const name = `i8_conv_depthwise_wide_${g.kh}x${g.kw}`;
    return [{ name, family: "depthwise", work, implement }];
  },
});

/** Whether this kernel is the one to use for a depthwise convolution: the others are for narrow vectors. */
export function takesWide({ rule }: QuantisedNode, g: ConvGeometry, caps: Capabilities): boolean {
  if (caps.vectorBytes < 32 || caps.dot8 === "some") return false;
  return rule.wideTables !== null && (rule.vectorTables !== null || g.c % 8 === 0);
}

interface Shape {
  readonly g: ConvGeometry;
  readonly caps: Capabilities;
  readonly result: ByteResult;
  /** The rule's parameters by lane count: vectors of four have tables of their own. */
  readonly params: readonly Parameter[];
  readonly narrowParams: readonly Parameter[] | null;
}

interface Buffers {
  readonly source: Buffer;
  readonly w: Buffer;
  readonly start: Buffer;
  readonly tables: ReadonlyMap<Parameter, Buffer>;
  readonly y: Buffer;
}

function depthwiseStep(node: QuantisedNode, g: ConvGeometry, caps: Capabilities): Step {
  const channels = Array.from({ length: widthOf(g) }, (_, c) => (c < g.c ? c : -1));
  const result: ByteResult = { rule: node.rule, yDtype: node.yDtype, tame: isTame(node, g.c) };
  const params = requantParameters(node.rule, channels, 8)!;
  const narrowParams = g.c % 8 === 0 ? null : requantParameters(node.rule, channels);
  const shape: Shape = { g, caps, result, params, narrowParams };
  const taps = packTaps(node.weights, g);
  const loops = loopsOf(g);
  // The last vector of a pixel may read past its channels.
  const staged = g.padded || g.c % 4 !== 0;
  const size = workspaceSize(g, loops) + 4;
  const k = new KernelBuilder(`i8_depthwise_wide_${g.kh}x${g.kw}`);
  const x = k.buffer("x", node.xDtype, g.batch * g.h * g.w * g.c, "in");
  const w = k.buffer("w", "i16", taps.data.length, "const");
  const start = k.buffer("bias", "i32", widthOf(g), "const");
  const operands: Operand[] = [
    { kind: "in", index: 0 },
    { kind: "const", name: "weights", tensor: taps },
    { kind: "const", name: "bias", tensor: startValues(node, g) },
  ];
  const tables = new Map<Parameter, Buffer>();
  for (const p of [...params, ...(narrowParams ?? [])]) {
    if (p.tensor === null) continue;
    tables.set(p, k.buffer(p.table.name, p.table.dtype, widthOf(g), "const"));
    operands.push({ kind: "const", name: p.table.name, tensor: p.tensor });
  }
  const y = k.buffer("y", node.yDtype, g.batch * g.oh * g.ow * g.c, "out");
  operands.push({ kind: "out", index: 0 });
  const work = staged ? k.buffer("rows", node.xDtype, size, "work") : null;
  if (staged) operands.push({ kind: "work", id: "rows", bytes: size });
  const source = work ?? x;
  const mover: RowMover = {
    copy: (from, to, count) => k.copy(source, to, x, from, count),
    fill: (to, count) => k.fill(source, to, node.xZero, count),
  };
  if (work !== null) fillBorders(g, loops, mover);
  const rowStride = staged ? g.span * g.c : g.dh * g.w * g.c;
  const pixels = pixelTile(g.ow, caps.registers - g.kw - 1);
  forEachRow(k, g, loops, (row) => {
    if (work !== null) packRows(k, g, loops, row, mover);
    k.forParallel("tile", 0, ceilDiv(g.ow, pixels), (t) => {
      const at = mul(t, pixels);
      const ox = g.ow % pixels === 0 ? at : k.let("ox", min(at, g.ow - pixels));
      const from = k.let("x_at", affine(...(staged ? [] : [row.x]), [ox, g.sw * g.c]));
      const to = k.let("y_at", affine(row.y, [ox, g.c]));
      const buffers = { source, w, start, tables, y };
      channelBlocks(k, g.c, caps.vectorBytes / 4, (c, lanes, stored) =>
        block(k, shape, buffers, { from, to, rowStride, pixels }, c, lanes, stored),
      );
    });
  });
  return { kernel: k.build(), operands, args: [] };
}

/**
 * Calls `body` for each vector of channels: as wide as possible, then narrower ones, and one of four of which only
 * `stored` are channels.
 */
function channelBlocks(
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

/** Where a tile of pixels reads and writes. */
interface PixelTile {
  readonly from: Expr;
  readonly to: Expr;
  readonly rowStride: number;
  readonly pixels: number;
}

/** The sums of a vector of channels of each pixel, requantised and stored. */
function block(
  k: KernelBuilder,
  { g, params, narrowParams, result }: Shape,
  b: Buffers,
  tile: PixelTile,
  c: Expr,
  lanes: number,
  stored: number,
): void {
  const type: KType = `i32x${lanes}`;
  const words: KType = `i16x${2 * lanes}`;
  const start = k.let("start", k.load(b.start, c, type));
  const acc = Array.from({ length: tile.pixels }, () => k.reg("acc", start));
  const readers = columnReaders(g, tile.pixels);
  k.for("ky", 0, g.kh, (ky) => {
    const taps = Array.from({ length: g.kw }, (_, kx) => {
      const at = affine([ky, g.kw * widthOf(g) * 2], kx * widthOf(g) * 2, [c, 2]);
      return k.let("tap", k.load(b.w, at, words));
    });
    for (const [column, uses] of readers) {
      const at = affine(tile.from, [ky, tile.rowStride], column * g.c, c);
      const v = k.let("v", cast(words, "bits", k.load(b.source, at, type)));
      for (const [pixel, kx] of uses) {
        k.set(acc[pixel]!, add(acc[pixel]!, dot16(v, taps[kx]!)));
      }
    }
  });
  const own = lanes > 4 ? params : narrowParams!;
  const values = own.map((p) => {
    const table = b.tables.get(p);
    if (table === undefined) return tableConstant(p.table, start);
    return k.let("m", k.load(table, c, `${p.table.dtype}x${lanes}`));
  });
  acc.forEach((sum, i) => {
    storeWide(k, b.y, affine(tile.to, i * g.c, c), result, [sum], [values], stored);
  });
}

/** For each input column, relative to the first pixel's, the pixels that read it and at which tap; in order. */
function columnReaders(
  g: ConvGeometry,
  pixels: number,
): readonly (readonly [column: number, uses: readonly (readonly [pixel: number, kx: number])[]])[] {
  const readers = new Map<number, [number, number][]>();
  for (let pixel = 0; pixel < pixels; pixel++) {
    for (let kx = 0; kx < g.kw; kx++) {
      const column = pixel * g.sw + kx * g.dw;
      readers.set(column, [...(readers.get(column) ?? []), [pixel, kx]]);
    }
  }
  return [...readers].sort(([p], [q]) => p - q);
}
