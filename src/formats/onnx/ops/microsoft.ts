/** @file Operators of the domain com.microsoft that ONNX Runtime's quantiser and optimiser emit. */
import type { Value } from "../../../graph/graph.ts";
import type { Op, OutQuant } from "../../../graph/op.ts";
import { type Importer, type ImportTable, malformed, type OpContext } from "../context.ts";
import { core } from "../core.ts";
import { num } from "../emit.ts";
import { assume, quantImports, quantised, resultType } from "./quant.ts";
import { poolAttrs } from "./window.ts";

const quantise = (c: OpContext, x: Value, out: OutQuant): Value =>
  c.e.apply(core.quantize, [x], { out });

/** Operands (a, scale, zero point), (b, scale, zero point), then scale and zero point of the result. */
const binary =
  (op: typeof core.add | typeof core.mul): Importer =>
  (c) =>
    c.e.apply(op, [quantised(c, 0, 0), quantised(c, 3, 0)], { out: resultType(c, 6, 0) });

/** Operand (x, scale, zero point), then scale and zero point of the result. */
const unary =
  (run: (c: OpContext, x: Value) => Value): Importer =>
  (c) =>
    quantise(c, run(c, c.e.dequantize(quantised(c, 0, 0))), resultType(c, 3, 0));

const pooled =
  (run: (c: OpContext, x: Value) => Value): Importer =>
  (c) => {
    const x = c.e.dequantize(quantised(c, 0, 0));
    const rank = c.e.rank(x);
    const last = c.attrs.flag("channels_last", false);
    const toFirst = [0, rank - 1, ...Array.from({ length: rank - 2 }, (_, i) => i + 1)];
    const toLast = [0, ...Array.from({ length: rank - 2 }, (_, i) => i + 2), 1];
    const y = run(c, last ? c.e.transpose(x, toFirst) : x);
    return quantise(c, last ? c.e.transpose(y, toLast) : y, resultType(c, 3, 0));
  };

const globalAverage = (c: OpContext, x: Value): Value =>
  c.e.mean(
    x,
    Array.from({ length: c.e.rank(x) - 2 }, (_, i) => i + 2),
    true,
  );

const softmax = (c: OpContext, x: Value): Value =>
  c.e.softmax(x, c.axis(c.attrs.int("axis", -1), c.e.rank(x)));

/** Scale and zero point of the result first, then triples. */
const concat: Importer = (c) => {
  const count = (c.operands.length - 2) / 3;
  if (!Number.isInteger(count) || count < 1) throw malformed("operands are not in triples");
  const out = resultType(c, 0, 2);
  const parts = Array.from({ length: count }, (_, i) => {
    const x = quantised(c, 2 + 3 * i, 0);
    return JSON.stringify(c.e.type(x).quant) === JSON.stringify({ ...out, dtype: undefined })
      ? x
      : c.e.apply(core.requantize, [x], { out });
  });
  return c.e.concat(parts, c.axis(c.attrs.int("axis", 1), c.e.rank(parts[0]!)));
};

/** a [M,K], b [K,N] with transposition; the bias has the scale of the product. */
const gemm: Importer = (c) => {
  const { e } = c;
  const a = quantised(c, 0, 0);
  const b = quantised(c, 3, c.attrs.flag("transB", false) ? 0 : 1);
  const x = e.dequantize(a);
  const w = e.dequantize(b);
  const left = c.attrs.flag("transA", false) ? e.swapLast(x) : x;
  const right = c.attrs.flag("transB", false) ? w : e.transposedWeights(w);
  const alpha = c.attrs.float("alpha", 1);
  const bias = c.optional(6);
  const sx = e.type(a).quant!.scale[0]!;
  const scale = e.type(b).quant!.scale.map((s) => Math.fround(s * sx));
  const ins = [left, right];
  if (bias !== undefined) {
    const n = e.shape(right)[0]!;
    const params: OutQuant = {
      dtype: "i32",
      scale,
      zeroPoint: scale.map(() => 0),
      axis: scale.length === 1 ? null : 0,
    };
    ins.push(e.dequantize(assume(c, e.reshape(bias, [n]), params)));
  }
  const y = e.apply(core.linear, ins, {});
  const scaled = alpha === 1 ? y : e.mul(y, num(alpha));
  return c.has(7) ? quantise(c, scaled, resultType(c, 7, 0)) : scaled;
};

const lrelu = (c: OpContext, x: Value): Value =>
  c.e.apply(core.leaky_relu, [x], { alpha: c.attrs.float("alpha", 0.01) });

const plain =
  (op: Op): ((c: OpContext, x: Value) => Value) =>
  (c, x) =>
    c.e.unary(op, x);

const gelu =
  (approximate: "none" | "tanh"): Importer =>
  (c) => {
    const x = c.has(1) ? c.e.add(c.in(0), c.in(1)) : c.in(0);
    return c.e.apply(core.gelu, [x], { approximate });
  };

const averagePool = (c: OpContext, x: Value): Value =>
  c.e.apply(core.average_pool, [x], poolAttrs(c, x));

const NAMES: ImportTable = {
  QLinearAdd: binary(core.add),
  QLinearMul: binary(core.mul),
  QLinearSigmoid: unary(plain(core.sigmoid)),
  QLinearLeakyRelu: unary(lrelu),
  QLinearSoftmax: unary(softmax),
  QLinearGlobalAveragePool: pooled(globalAverage),
  QLinearAveragePool: pooled(averagePool),
  QLinearConcat: concat,
  QLinearConv: quantImports["QLinearConv"]!,
  QGemm: gemm,
  QuantizeLinear: quantImports["QuantizeLinear"]!,
  DequantizeLinear: quantImports["DequantizeLinear"]!,
  Gelu: gelu("none"),
  BiasGelu: gelu("none"),
  FastGelu: gelu("tanh"),
  QuickGelu: (c) => c.e.apply(core.swish, [c.in(0)], { alpha: c.attrs.float("alpha", 1.702) }),
};

export const microsoftImports: ImportTable = Object.fromEntries(
  Object.entries(NAMES).map(([name, importer]) => [`com.microsoft.${name}`, importer]),
);
