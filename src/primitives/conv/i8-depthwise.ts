/**
 * @file 8-bit depthwise convolution, NHWC, one output channel per input channel: eight channels at a time,
 * pairs of taps interleaved for dot16. Weights: [block of 8 channels][pair of taps][half][4 channels][2 taps], i8.
 */
import { add, affine, constant, dot16, KernelBuilder, mul, shuffle } from "../../kernel/build.ts";
import type { Buffer, Expr } from "../../kernel/ir.ts";
import { conv } from "../../ops/nn/conv.ts";
import { tableConstant } from "../../ops/quant/requantize-rule.ts";
import { type Tensor, tensorOf } from "../../tensor/tensor.ts";
import { alignUp, ceilDiv } from "../../util/math.ts";
import { storeSums } from "../gemm/byte-results.ts";
import { type ConvGeometry, convGeometry, type Loops } from "../gemm/geometry.ts";
import { type Parameter, requantParameters, weightSums } from "../gemm/i8-pack.ts";
import { forEachRow } from "../gemm/loops.ts";
import { type QuantisedNode, quantisedNode } from "../gemm/quantised.ts";
import { fillBorders, packRows, type RowMover, workspaceSize } from "../gemm/rows.ts";
import { definePrimitive, type Operand } from "../primitive.ts";
import { takesWide } from "./i8-depthwise-wide.ts";

function loopsOf(g: ConvGeometry): Loops {
  return {
    rows: g.batch * g.oh,
    length: g.ow,
    flat: false,
    tile: { mr: 1, nv: 2, lanes: 4 },
    tiles: g.ow,
    panels: ceilDiv(g.c, 8),
    runs: g.kh * g.kw,
    runLength: 1,
  };
}

function packTaps(w: Tensor, g: ConvGeometry): Tensor {
  const taps = g.kh * g.kw;
  const pairs = ceilDiv(taps, 2);
  const packed = new Int8Array(ceilDiv(g.c, 8) * pairs * 16);
  for (let c = 0; c < g.c; c++) {
    for (let t = 0; t < taps; t++) {
      const at = ((c >> 3) * pairs + (t >> 1)) * 16 + (c & 7) * 2 + (t & 1);
      packed[at] = w.data[c * taps + t] as number;
    }
  }
  return { type: { dtype: "i8", shape: [packed.length] }, data: packed };
}

/** The channels in blocks of eight; -1: there is none. */
const blockChannels = (g: ConvGeometry): number[] =>
  Array.from({ length: alignUp(g.c, 8) }, (_, c) => (c < g.c ? c : -1));

/** Bias less the zero point's share, one per channel, rounded up to blocks of eight. */
function startValues(node: QuantisedNode, g: ConvGeometry): Tensor {
  const sums = weightSums(node.weights, g.c);
  const start = (c: number): number => {
    if (c >= g.c) return 0;
    const bias = node.bias === undefined ? 0 : (node.bias.data[c] as number);
    return (bias - Math.imul(node.xZero, sums[c]!)) | 0;
  };
  const n = ceilDiv(g.c, 8) * 8;
  return tensorOf(
    "i32",
    [n],
    Array.from({ length: n }, (_, c) => start(c)),
  );
}

export const convI8Depthwise = definePrimitive({
  name: "i8_conv_depthwise",
  op: conv,
  candidates: ({ ins, outs, attrs, constants, caps }) => {
    const node = quantisedNode(ins, outs[0]!, constants, attrs);
    if (node === null) return [];
    const g = convGeometry(ins[0]!, ins[1]!.shape.slice(1, -1), outs[0]!, attrs, attrs.groups);
    if (g === null || g.groups !== g.c || g.n !== g.c) return [];
    if (takesWide(node, g, caps)) return [];
    const loops = loopsOf(g);
    const params = requantParameters(node.rule, blockChannels(g));
    if (params === null) return [];
    const outputs = g.batch * g.oh * g.ow * g.c;
    const name = `i8_conv_depthwise_${g.kh}x${g.kw}`;
    const work = {
      macs: outputs * g.kh * g.kw,
      bytes: 2 * g.batch * g.oh * g.kh * g.span * g.c + outputs,
    };
    return [
      {
        name,
        family: "depthwise",
        work,
        implement: () => {
          const taps = packTaps(node.weights, g);
          const starts = startValues(node, g);
          const size = workspaceSize(g, loops) + 8;
          const k = new KernelBuilder(`i8_depthwise_${g.kh}x${g.kw}`);
          const buffers = declare(k, node, g, params, taps.data.length, starts.data.length, size);
          body(k, node, g, loops, params, buffers);
          const operands: Operand[] = [
            { kind: "in", index: 0 },
            { kind: "const", name: "weights", tensor: taps },
            { kind: "const", name: "bias", tensor: starts },
          ];
          for (const p of params) {
            if (p.tensor !== null)
              operands.push({ kind: "const", name: p.table.name, tensor: p.tensor });
          }
          operands.push({ kind: "out", index: 0 }, { kind: "work", id: "rows", bytes: 2 * size });
          return { inPlace: false, steps: [{ kernel: k.build(), operands, args: [] }] };
        },
      },
    ];
  },
});

interface Buffers {
  readonly x: Buffer;
  readonly w: Buffer;
  readonly start: Buffer;
  readonly tables: readonly (Buffer | null)[];
  readonly y: Buffer;
  readonly work: Buffer;
}

function declare(
  k: KernelBuilder,
  node: QuantisedNode,
  g: ConvGeometry,
  params: readonly Parameter[],
  tapCount: number,
  startCount: number,
  workCount: number,
): Buffers {
  return {
    x: k.buffer("x", node.xDtype, g.batch * g.h * g.w * g.c, "in"),
    w: k.buffer("w", "i8", tapCount, "const"),
    start: k.buffer("bias", "i32", startCount, "const"),
    tables: params.map((p) =>
      p.tensor === null
        ? null
        : k.buffer(p.table.name, p.table.dtype, p.tensor.data.length, "const"),
    ),
    y: k.buffer("y", node.yDtype, g.batch * g.oh * g.ow * g.c, "out"),
    work: k.buffer("rows", "i16", workCount, "work"),
  };
}

/** Copies bytes into an i16 workspace eight at a time. */
function wideningMover(k: KernelBuilder, x: Buffer, work: Buffer, zero: number): RowMover {
  return {
    copy: (from, to, count) => {
      const whole = count - (count % 8);
      k.for("i", 0, whole, (i) => k.store(work, add(to, i), k.load(x, add(from, i), "i16x8")), {
        step: 8,
      });
      k.for("i", whole, count, (i) => k.store(work, add(to, i), k.load(x, add(from, i))));
    },
    fill: (to, count) => k.fill(work, to, zero, count),
  };
}

function body(
  k: KernelBuilder,
  node: QuantisedNode,
  g: ConvGeometry,
  loops: Loops,
  params: readonly Parameter[],
  b: Buffers,
): void {
  const mover = wideningMover(k, b.x, b.work, node.xZero);
  const pairs = ceilDiv(g.kh * g.kw, 2);
  const tapOffset = (t: number): number =>
    Math.floor(t / g.kw) * g.span * g.c + (t % g.kw) * g.dw * g.c;
  fillBorders(g, loops, mover);
  forEachRow(k, g, loops, (row) => {
    packRows(k, g, loops, row, mover);
    // Channels innermost: filter and tables stream from the cache, which leaves the registers to the sums.
    k.forParallel("ox", 0, g.ow, (ox) => {
      const x = k.let("x_at", mul(ox, g.sw * g.c));
      const y = k.let("y_at", affine(row.y, [ox, g.c]));
      const block = (c: Expr, lanes: number): void => {
        const weights = mul(c, 2 * pairs);
        const acc = [0, 4].map((d) => k.reg("acc", k.load(b.start, add(c, d), "i32x4")));
        for (let p = 0; p < pairs; p++) {
          const tap = (t: number): Expr => k.load(b.work, affine(x, c, tapOffset(t)), "i16x8");
          const first = k.let("x0", tap(2 * p));
          const paired = 2 * p + 1 < g.kh * g.kw;
          const second = paired ? k.let("x1", tap(2 * p + 1)) : constant("i16x8", 0);
          const sides = [shuffle(first, second, LOW), shuffle(first, second, HIGH)];
          sides.forEach((xs, half) => {
            const w = k.load(b.w, add(weights, 16 * p + 8 * half), "i16x8");
            k.set(acc[half]!, add(acc[half]!, dot16(xs, w)));
          });
        }
        store(k, node, params, b, acc, c, k.let("yp", add(y, c)), lanes);
      };
      const whole = g.c - (g.c % 8);
      k.for("c", 0, whole, (c) => block(c, 8), { step: 8 });
      if (whole < g.c) block(constant("i32", whole), g.c % 8);
    });
  });
}

const LOW = [0, 8, 1, 9, 2, 10, 3, 11];
const HIGH = [4, 12, 5, 13, 6, 14, 7, 15];

function store(
  k: KernelBuilder,
  node: QuantisedNode,
  params: readonly Parameter[],
  b: Buffers,
  acc: readonly Expr[],
  c: Expr,
  at: Expr,
  lanes: number,
): void {
  const values = acc.map((s, half) =>
    params.map((p, i) =>
      p.tensor === null
        ? tableConstant(p.table, s)
        : k.let(
            "m",
            k.load(b.tables[i]!, add(c, 4 * half), p.table.dtype === "f32" ? "f32x4" : "i32x4"),
          ),
    ),
  );
  const { rule, yDtype } = node;
  storeSums(k, b.y, at, { rule, yDtype, tame: false }, acc, values, lanes);
}
