/**
 * @file f32 1x1 convolution with sparse weights, channels first: vectors of neighbouring pixels of one output
 * channel stay in registers while its non-zero weights are walked (XNNPACK's SpMM, see ../sparse/csr.ts). One output
 * channel after another, so that results are written as long runs.
 */
import { add, affine, fma, KernelBuilder, min, mul } from "../../kernel/build.ts";
import type { Expr, Kernel, KType } from "../../kernel/ir.ts";
import { conv } from "../../ops/nn/conv.ts";
import { SCALARS } from "../../ops/scalar.ts";
import { tensorOf } from "../../tensor/tensor.ts";
import { ceilDiv } from "../../util/math.ts";
import type { Capabilities } from "../capabilities.ts";
import { type ConvGeometry, convGeometry } from "../gemm/geometry.ts";
import { definePrimitive, type Operand, type Step } from "../primitive.ts";
import {
  countNonZeros,
  MOST_COLUMNS,
  rowOperands,
  type SparseRows,
  sparseRows,
} from "../sparse/csr.ts";

/**
 * Densities above this are not worth a candidate. At 0.7 dense was faster in two of three layers measured with the
 * conversions around them, by up to 1.6 times, and the cost model is not good enough to tell them apart.
 */
const MOST_DENSE = 0.6;

/**
 * Bytes of input that all output channels walk before the next ones are read. Planes lie a power of two apart in
 * most networks, so that few of their lines fit the first cache: long runs of each are better than short ones of all.
 */
const CACHED = 512 * 1024;

/** Vectors of pixels in registers: `count` of `lanes`. */
interface Block {
  readonly count: number;
  readonly lanes: number;
}

const widthOf = (b: Block): number => b.count * b.lanes;

/** The widest block that the pixels fill; null when there are fewer than four. */
function pickBlock(caps: Capabilities, pixels: number): Block | null {
  for (let lanes = caps.vectorBytes / 4; lanes >= 4; lanes /= 2) {
    for (const count of [8, 4, 2, 1]) {
      if (count * lanes <= pixels) return { count, lanes };
    }
  }
  return null;
}

export const convF32Spmm = definePrimitive({
  name: "f32_conv_spmm",
  op: conv,
  candidates: ({ ins, outs, attrs, constants, caps }) => {
    const [x, w, bias] = ins;
    const weights = constants[1];
    if (x?.dtype !== "f32" || w?.dtype !== "f32" || weights === undefined) return [];
    if (bias !== undefined && constants[2] === undefined) return [];
    const { act } = attrs;
    if (act !== undefined && SCALARS[act.fn] === undefined) return [];
    const g = convGeometry(x, w.shape.slice(1, -1), outs[0]!, attrs, attrs.groups);
    if (g === null || g.groups !== 1 || g.c > MOST_COLUMNS) return [];
    if (g.kh * g.kw !== 1 || g.sh * g.sw !== 1 || g.padded) return [];
    const block = pickBlock(caps, g.h * g.w);
    const nonZeros = countNonZeros(weights);
    if (block === null || nonZeros > MOST_DENSE * weights.data.length) return [];
    const pixels = g.batch * ceilDiv(g.h * g.w, widthOf(block)) * widthOf(block);
    const residual = ins.length > 3;
    return [
      {
        name: `f32_conv_spmm_${widthOf(block)}x1`,
        family: "spmm",
        ins: residual ? ["nchw", "plain", "plain", "nchw"] : ["nchw"],
        outs: ["nchw"],
        work: { macs: nonZeros * pixels, bytes: 4 * pixels * g.n + 6 * nonZeros },
        data: `nonZeros=${nonZeros}`,
        implement: () => {
          const sparse = sparseRows(weights, g.n);
          const kernel = spmmKernel(g, sparse, block, residual, (v) =>
            act === undefined ? v : SCALARS[act.fn]!.expr(v, act),
          );
          const start = constants[2] ?? tensorOf("f32", [g.n], new Array<number>(g.n).fill(0));
          return { inPlace: false, steps: [stepOf(kernel, sparse, start, residual, caps.unpacks)] };
        },
      },
    ];
  },
});

function stepOf(
  kernel: Kernel,
  sparse: SparseRows,
  bias: SparseRows["values"],
  residual: boolean,
  unpacks: boolean,
): Step {
  const operands: Operand[] = [
    { kind: "in", index: 0 },
    { kind: "const", name: "weights", tensor: sparse.values },
    ...rowOperands(sparse, unpacks),
    { kind: "const", name: "bias", tensor: bias },
    { kind: "out", index: 0 },
  ];
  if (residual) operands.push({ kind: "in", index: 3 });
  return { kernel, operands, args: [] };
}

function spmmKernel(
  g: ConvGeometry,
  sparse: SparseRows,
  block: Block,
  hasResidual: boolean,
  finish: (v: Expr) => Expr,
): Kernel {
  const plane = g.h * g.w;
  const width = widthOf(block);
  const type: KType = `f32x${block.lanes}`;
  const offsets = Array.from({ length: block.count }, (_, i) => i * block.lanes);
  const k = new KernelBuilder(`f32_spmm_${width}x1`);
  const x = k.buffer("x", "f32", g.batch * g.c * plane, "in");
  const w = k.buffer("w", "f32", sparse.values.data.length, "const");
  const columns = k.buffer("columns", "u16", sparse.indices.data.length, "const");
  const starts = k.buffer("starts", "i32", g.n + 1, "const");
  const bias = k.buffer("bias", "f32", g.n, "const");
  const y = k.buffer("y", "f32", g.batch * g.n * plane, "out");
  const residual = hasResidual ? k.buffer("residual", "f32", g.batch * g.n * plane, "in") : null;
  const tiles = ceilDiv(plane, width);
  const chunk = Math.min(tiles, Math.max(1, Math.floor(CACHED / (g.c * width * 4))));
  const sums = (image: Expr, o: Expr, t: Expr, from: Expr, to: Expr): void => {
    // The last block overlaps the one before when the pixels are no multiple of its width.
    const at = mul(t, width);
    const pixel = plane % width === 0 ? at : k.let("pixel", min(at, plane - width));
    const source = k.let("source", affine(pixel, [image, g.c * plane]));
    const start = k.let("start", k.loadGroup(bias, o, type));
    const acc = offsets.map(() => k.reg("acc", start));
    k.for("z", from, to, (z) => {
      const value = k.let("w", k.loadGroup(w, z, type));
      const a = k.let("a", affine(source, [k.load(columns, z), plane]));
      acc.forEach((sum, i) => {
        k.set(sum, fma(k.load(x, add(a, offsets[i]!), type), value, sum));
      });
    });
    const out = k.let("out", affine(pixel, [image, g.n * plane], [o, plane]));
    acc.forEach((sum, i) => {
      const place = add(out, offsets[i]!);
      const v = residual === null ? sum : add(sum, k.load(residual, place, type));
      k.store(y, place, finish(k.let("v", v)));
    });
  };
  k.forParallel("image", 0, g.batch, (image) => {
    k.for("chunk", 0, ceilDiv(tiles, chunk), (c) => {
      const first = mul(c, chunk);
      const end = add(first, chunk);
      const last = tiles % chunk === 0 ? end : k.let("last", min(end, tiles));
      const row = (o: Expr): void => {
        const from = k.let("from", k.load(starts, o));
        const to = k.let("to", k.load(starts, add(o, 1)));
        k.for("block", first, last, (t) => sums(image, o, t, from, to));
      };
      k.for("o", 0, g.n, row, { tag: "outline", parallel: true });
    });
  });
  return k.build();
}
