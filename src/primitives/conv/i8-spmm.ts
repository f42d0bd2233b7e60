/**
 * @file 8-bit 1x1 convolution with sparse weights, channels first, as f32-spmm.ts: sums of neighbouring pixels of one
 * output channel stay in registers while its non-zero weights are walked, four at a time. Their four planes are
 * interleaved byte by byte, so that one dot product adds four of them for four pixels. Rows of weights are filled up to
 * fours by zeros that are stored as if they were none.
 */
import {
  add,
  affine,
  and,
  binary,
  cast,
  dot8,
  dot16,
  i32,
  KernelBuilder,
  min,
  mul,
  or,
  shl,
  shuffle,
  splat,
} from "../../kernel/build.ts";
import type { Buffer, Expr, Kernel } from "../../kernel/ir.ts";
import { conv } from "../../ops/nn/conv.ts";
import { tableConstant } from "../../ops/quant/requantize-rule.ts";
import { type Tensor, tensorOf } from "../../tensor/tensor.ts";
import { ceilDiv } from "../../util/math.ts";
import { storeSums } from "../gemm/byte-results.ts";
import { type ConvGeometry, convGeometry } from "../gemm/geometry.ts";
import { type Parameter, requantParameters, weightSums } from "../gemm/i8-pack.ts";
import { isTame, type QuantisedNode, quantisedNode } from "../gemm/quantised.ts";
import { definePrimitive, type Operand, type Step } from "../primitive.ts";
import {
  countNonZeros,
  MOST_COLUMNS,
  paddedRows,
  rowOperands,
  type SparseRows,
} from "../sparse/csr.ts";

/**
 * Densities above this are not worth a candidate: dense dot products are fast. Measured with exact 8-bit dot products, this
 * kernel is 1.2 to 1.4 times as fast as the dense one at 0.2, and 1.7 to 1.9 times at 0.1.
 */
const MOST_DENSE = 0.2;

/** Weights that are walked together. */
const QUAD = 4;
/** Pixels of one vector of bytes. */
const LANES = 16;
/** Vectors of pixels at most. */
const VECTORS = 2;

export const convI8Spmm = definePrimitive({
  name: "i8_conv_spmm",
  op: conv,
  candidates: ({ ins, outs, attrs, constants, caps }) => {
    const node = quantisedNode(ins, outs[0]!, constants, attrs);
    if (node === null || caps.dot8 !== "some") return [];
    const g = convGeometry(ins[0]!, ins[1]!.shape.slice(1, -1), outs[0]!, attrs, attrs.groups);
    if (g === null || g.groups !== 1 || g.c > MOST_COLUMNS || g.c < QUAD) return [];
    if (g.kh * g.kw !== 1 || g.sh * g.sw !== 1 || g.padded || g.h * g.w < LANES) return [];
    const nonZeros = countNonZeros(node.weights);
    if (nonZeros > MOST_DENSE * node.weights.data.length) return [];
    const channels = Array.from({ length: g.n }, (_, o) => o);
    const params = requantParameters(node.rule, channels);
    const sparse = params === null ? null : paddedRows(node.weights, g.n, QUAD);
    if (params === null || sparse === null) return [];
    const vectors = Math.min(VECTORS, Math.floor((g.h * g.w) / LANES));
    const width = vectors * LANES;
    const pixels = g.batch * ceilDiv(g.h * g.w, width) * width;
    return [
      {
        name: `i8_conv_spmm_${width}x1`,
        family: "spmm",
        ins: ["nchw"],
        outs: ["nchw"],
        work: { macs: sparse.nonZeros * pixels, bytes: pixels * g.n + 3 * sparse.nonZeros },
        data: `nonZeros=${nonZeros}`,
        implement: () => ({
          inPlace: false,
          steps: [stepOf({ node, g, sparse, params, vectors }, caps.unpacks)],
        }),
      },
    ];
  },
});

interface Shape {
  readonly node: QuantisedNode;
  readonly g: ConvGeometry;
  readonly sparse: SparseRows;
  readonly params: readonly Parameter[];
  readonly vectors: number;
}

/** Bias less the zero point's share: for input as it is stored, as signed and as unsigned bytes. */
function startValues({ node, g }: Shape): Tensor {
  const { xZero, xDtype, bias } = node;
  const sums = weightSums(node.weights, g.n);
  const signed = xDtype === "u8" ? xZero - 128 : xZero;
  const values = [xZero, signed, signed + 128].flatMap((zero) =>
    Array.from(sums, (sum, o) => (Number(bias?.data[o] ?? 0) - Math.imul(zero, sum)) | 0),
  );
  return tensorOf("i32", [values.length], values);
}

function stepOf(shape: Shape, unpacks: boolean): Step {
  const { sparse, params } = shape;
  const base = spmmKernel(shape, "dot16");
  const kernel: Kernel = { ...base, forms: { dot8: spmmKernel(shape, "dot8") } };
  const operands: Operand[] = [
    { kind: "in", index: 0 },
    { kind: "const", name: "weights", tensor: sparse.values },
    ...rowOperands(sparse, unpacks),
    { kind: "const", name: "bias", tensor: startValues(shape) },
  ];
  for (const p of params) {
    if (p.tensor !== null) operands.push({ kind: "const", name: p.table.name, tensor: p.tensor });
  }
  operands.push({ kind: "out", index: 0 });
  return { kernel, operands, args: ["flip"] };
}

type Form = "dot8" | "dot16";

/** Alternating elements of the low or high halves of two vectors of so many lanes. */
function interleaved(a: Expr, b: Expr, lanes: number, half: "low" | "high"): Expr {
  const first = half === "low" ? 0 : lanes / 2;
  const order = Array.from({ length: lanes }, (_, i) => first + (i >> 1) + (i % 2) * lanes);
  return shuffle(a, b, order);
}

/** Adds four planes times their weights to the sums of 16 pixels, by four pixels. */
type AddQuad = (places: readonly Expr[], sums: readonly Expr[]) => void;

function spmmKernel(shape: Shape, form: Form): Kernel {
  const { node, g, sparse, params, vectors } = shape;
  const plane = g.h * g.w;
  const width = vectors * LANES;
  const k = new KernelBuilder(`i8_spmm_${form}_${width}x1`);
  const x = k.buffer("x", node.xDtype, g.batch * g.c * plane, "in");
  const w = k.buffer("w", "i8", sparse.values.data.length, "const");
  const columns = k.buffer("columns", "u16", sparse.indices.data.length, "const");
  const starts = k.buffer("starts", "i32", g.n + 1, "const");
  const bias = k.buffer("bias", "i32", 3 * g.n, "const");
  const tables = params.map((p) =>
    p.tensor === null ? null : k.buffer(p.table.name, p.table.dtype, g.n, "const"),
  );
  const y = k.buffer("y", node.yDtype, g.batch * g.n * plane, "out");
  const flip = k.arg("flip", "i32");
  const result = { rule: node.rule, yDtype: node.yDtype, tame: isTame(node, g.n) };
  const quadAt = form === "dot8" ? byDot8(k, x, w, node, flip) : byDot16(k, x, w);
  const unsigned = affine(g.n, [binary("shr_u", flip, i32(31)), g.n]);
  const table = form === "dot8" ? k.let("table", unsigned) : i32(0);
  const tile = (image: Expr, o: Expr, t: Expr, from: Expr, to: Expr): void => {
    // The last tile overlaps the one before when the pixels are no multiple of its width.
    const at = mul(t, width);
    const pixel = plane % width === 0 ? at : k.let("pixel", min(at, plane - width));
    const source = k.let("source", affine(pixel, [image, g.c * plane]));
    const start = k.let("start", k.loadGroup(bias, add(table, o), "i32x4"));
    const sums = Array.from({ length: 4 * vectors }, () => k.reg("sum", start));
    const walk = (z: Expr): void => {
      const quad = quadAt(z);
      const planes = Array.from({ length: QUAD }, (_, j) =>
        k.let("plane", affine(source, [k.load(columns, add(z, j)), plane])),
      );
      for (let v = 0; v < vectors; v++) {
        const places = planes.map((p) => add(p, LANES * v));
        quad(places, sums.slice(4 * v, 4 * v + 4));
      }
    };
    k.for("z", from, to, walk, { step: QUAD });
    const values = params.map((p, i) => {
      const buffer = tables[i];
      if (buffer == null) return tableConstant(p.table, sums[0]!);
      return k.let("m", k.loadGroup(buffer, o, `${p.table.dtype}x4`));
    });
    const out = k.let("out", affine(pixel, [image, g.n * plane], [o, plane]));
    for (let i = 0; i < sums.length; i += 2) {
      storeSums(k, y, add(out, 4 * i), result, sums.slice(i, i + 2), [values, values], 8);
    }
  };
  k.forParallel("image", 0, g.batch, (image) => {
    const row = (o: Expr): void => {
      const from = k.let("from", k.load(starts, o));
      const to = k.let("to", k.load(starts, add(o, 1)));
      k.for("t", 0, ceilDiv(plane, width), (t) => tile(image, o, t, from, to));
    };
    k.for("o", 0, g.n, row, { tag: "outline", parallel: true });
  });
  return k.build();
}

/** Four products a lane: bytes of four planes side by side. */
function byDot8(k: KernelBuilder, x: Buffer, w: Buffer, node: QuantisedNode, flip: Expr) {
  const toSigned = node.xDtype === "u8" ? 0x80808080 | 0 : 0;
  const words = splat("i32x4", binary("xor", flip, i32(toSigned)));
  const mask = k.let("mask", cast("i8x16", "bits", words));
  return (z: Expr): AddQuad => {
    const weights = k.let("w", k.loadGroup(w, z, "i8x16", QUAD));
    return (places, sums) => {
      const bytes = places.map((p) => k.let("b", binary("xor", k.load(x, p, "i8x16"), mask))) as [
        Expr,
        Expr,
        Expr,
        Expr,
      ];
      const pairs = (a: Expr, b: Expr, half: "low" | "high"): Expr =>
        k.let("p", cast("i16x8", "bits", interleaved(a, b, 16, half)));
      (["low", "high"] as const).forEach((half, i) => {
        const [a, b] = [pairs(bytes[0], bytes[1], half), pairs(bytes[2], bytes[3], half)];
        (["low", "high"] as const).forEach((part, j) => {
          const sum = sums[2 * i + j]!;
          const fours = k.let("q", cast("i8x16", "bits", interleaved(a, b, 8, part)));
          k.set(sum, dot8(weights, fours, sum));
        });
      });
    };
  };
}

/** Two products a lane: 16-bit numbers of two planes side by side. */
function byDot16(k: KernelBuilder, x: Buffer, w: Buffer) {
  return (z: Expr): AddQuad => {
    const weights = [0, 2].map((i) => {
      const [a, b] = [k.load(w, add(z, i)), k.load(w, add(z, i + 1))];
      const both = or(and(a, 0xffff), shl(b, 16));
      return k.let("w", cast("i16x8", "bits", splat("i32x4", both)));
    });
    return (places, sums) => {
      weights.forEach((pair, i) => {
        for (const eight of [0, 1]) {
          const [a, b] = [places[2 * i]!, places[2 * i + 1]!].map((p) =>
            k.let("h", k.load(x, add(p, 8 * eight), "i16x8")),
          );
          (["low", "high"] as const).forEach((half, j) => {
            const sum = sums[2 * eight + j]!;
            k.set(sum, add(sum, dot16(k.let("p", interleaved(a!, b!, 8, half)), pair)));
          });
        }
      });
    };
  };
}
