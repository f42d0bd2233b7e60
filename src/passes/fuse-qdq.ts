/**
 * @file Turns float operators between dequantize and quantize into operators on quantised values: how
 * ONNX models in QDQ form and quantisation-aware training express them.
 */
import { isOp, type Node, type Value } from "../graph/graph.ts";
import type { Attrs, OutQuant } from "../graph/op.ts";
import { type NodeRule, type RewriteContext, rewrite } from "../graph/rewrite.ts";
import { dequantize } from "../ops/quant/dequantize.ts";
import { quantize } from "../ops/quant/quantize.ts";
import { requantize } from "../ops/quant/requantize.ts";
import { SCALARS } from "../ops/scalar.ts";
import { DTYPES } from "../tensor/dtype.ts";
import {
  numberReader,
  sameQuant,
  type Tensor,
  type TensorType,
  tensorOf,
  toNumbers,
} from "../tensor/tensor.ts";
import { roundHalfEven } from "../util/math.ts";
import { channelMap } from "./contraction.ts";
import { definePass, repeat } from "./pass.ts";
import { attrOf, tryInfer } from "./rules.ts";

/** The quantised value behind a dequantize; null: `v` is not one. */
function quantisedBehind(v: Value, ctx: RewriteContext): Value | null {
  const node = ctx.producer(v);
  return node !== undefined && isOp(node, dequantize) ? node.ins[0]! : null;
}

/** A bias as reals, constant or behind a dequantize, and its integers when their scale is sx * sw. */
function biasIntegers(v: Value, scales: readonly number[], ctx: RewriteContext): Tensor | null {
  const q = quantisedBehind(v, ctx);
  const stored = ctx.constant(q ?? v);
  if (stored === undefined) return null;
  const { quant, shape } = stored.type;
  const read = numberReader(stored);
  const integers = toNumbers(stored).map((_, c) => {
    const unit = scales[scales.length === 1 ? 0 : c]!;
    const k = quant?.axis == null ? 0 : c;
    const zero = quant?.zeroPoint[k] ?? 0;
    const ratio = (quant?.scale[k] ?? 1) / unit;
    return Math.abs(ratio - 1) < 1e-5 ? read(c) - zero : roundHalfEven((read(c) - zero) * ratio);
  });
  const { min, max } = DTYPES.i32;
  return integers.every((n) => n >= min && n <= max) ? tensorOf("i32", shape, integers) : null;
}

/** The operands as quantised values; null when none is, or the bias does not fit. */
function quantisedOperands(node: Node, ctx: RewriteContext): readonly (Value | Tensor)[] | null {
  const sources = node.ins.map((v) => quantisedBehind(v, ctx));
  if (sources.every((v) => v === null)) return null;
  const isContraction = channelMap(node, (i) => ctx.typeOf(node.ins[i]!).shape) !== null;
  const [x, w] = sources;
  if (!isContraction) return node.ins.map((v, i) => sources[i] ?? v);
  if (node.ins[2] === undefined) return node.ins.map((v, i) => sources[i] ?? v);
  const [qx, qw] = [x, w].map((v) => (v == null ? undefined : ctx.typeOf(v).quant));
  if (qx === undefined || qw === undefined || qx.axis !== null) return null;
  const bias = biasIntegers(
    node.ins[2],
    qw.scale.map((s) => s * qx.scale[0]!),
    ctx,
  );
  return bias === null ? null : [x!, w!, bias, ...node.ins.slice(3)];
}

const isTensor = (v: Value | Tensor): v is Tensor => typeof v === "object";

function build(node: Node, attrs: Attrs, ctx: RewriteContext, want: TensorType): Value | null {
  const operands = quantisedOperands(node, ctx);
  if (operands === null || node.outs.length !== 1) return null;
  const types = operands.map((v) => (isTensor(v) ? v.type : ctx.typeOf(v)));
  const moves = node.op.quant === "same";
  if (moves && types.some((t) => t.quant !== undefined && !sameQuant(t.quant, types[0]!.quant))) {
    return null;
  }
  const out: OutQuant = { dtype: want.dtype, ...want.quant! };
  const full = moves ? attrs : { ...attrs, out };
  const type = tryInfer(node.op, types, full)?.[0];
  if (type?.quant === undefined || (!moves && !sameQuant(type.quant, want.quant))) return null;
  const ins = operands.map((v) => (isTensor(v) ? ctx.builder.constant(v) : ctx.value(v)));
  const [y] = ctx.builder.applyAll(node.op, ins, full, node.name);
  const fits = type.dtype === want.dtype && sameQuant(type.quant, want.quant);
  return fits ? y! : ctx.builder.apply(requantize, [y!], { out });
}

const fuse: NodeRule = (node, ctx) => {
  if (!isOp(node, quantize)) return null;
  const v = node.ins[0]!;
  const producer = ctx.producer(v);
  if (producer === undefined || ctx.useCount(v) !== 1) return null;
  if (attrOf(producer, "act") !== undefined && producer.op.fuses?.act !== true) return null;
  const want = ctx.typeOf(node.outs[0]!);
  const y = clampedContraction(producer, ctx, want) ?? build(producer, producer.attrs, ctx, want);
  return y === null ? null : [y];
};

/** A clamp between the operator and its quantize becomes the operator's activation. */
function clampedContraction(node: Node, ctx: RewriteContext, want: TensorType): Value | null {
  const fn = node.op.scalar;
  const source = ctx.producer(node.ins[0]!);
  if (fn === undefined || SCALARS[fn]?.bounds === undefined) return null;
  if (source?.op.fuses?.act !== true || ctx.useCount(node.ins[0]!) !== 1) return null;
  if (attrOf(source, "act") !== undefined) return null;
  return build(source, { ...source.attrs, act: { fn, ...node.attrs } }, ctx, want);
}

export const fuseQdq = definePass({
  name: "fuse-qdq",
  doc: `A float operator whose operands come from dequantize and whose result alone goes into quantize
    computes on the integers directly; a bias becomes i32 with scale sx * sw.`,
  run: (graph) => repeat(graph, (g) => rewrite(g, fuse)),
});
