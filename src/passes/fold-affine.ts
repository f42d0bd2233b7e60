/**
 * @file Folds per-channel scaling and shifting into the weights and bias of convolutions and matrix
 * products: batch normalisation, multiplication and addition of constants, a missing bias.
 */
import { isOp, type Node, type Value } from "../graph/graph.ts";
import { type NodeRule, type RewriteContext, rewrite } from "../graph/rewrite.ts";
import { add } from "../ops/elementwise/add.ts";
import { div } from "../ops/elementwise/div.ts";
import { mul } from "../ops/elementwise/mul.ts";
import { sub } from "../ops/elementwise/sub.ts";
import { batchNorm } from "../ops/nn/batch-norm.ts";
import { isFloat } from "../tensor/dtype.ts";
import { numberReader, sameShape, type Tensor, tensorOf, toNumbers } from "../tensor/tensor.ts";
import { type Contraction, contractionOf } from "./contraction.ts";
import { definePass, repeat } from "./pass.ts";
import { attrOf } from "./rules.ts";

/** y = x * scale[c] + shift[c] along one axis of x. */
interface Affine {
  readonly x: Value;
  readonly axis: number;
  readonly scale: readonly number[];
  readonly shift: readonly number[];
}

/** A constant broadcast against `shape` that varies along `axis` at most: its value for each index. */
function alongAxis(t: Tensor, shape: readonly number[], axis: number): number[] | null {
  const offset = shape.length - t.type.shape.length;
  if (offset < 0) return null;
  if (t.type.shape.some((n, i) => n !== 1 && (i + offset !== axis || n !== shape[axis])))
    return null;
  const read = numberReader(t);
  return Array.from({ length: shape[axis]! }, (_, i) => read(t.data.length === 1 ? 0 : i));
}

function batchNormAffine(node: Node, ctx: RewriteContext, axis: number): Affine | null {
  if (!isOp(node, batchNorm)) return null;
  const rank = ctx.typeOf(node.ins[0]!).shape.length;
  if (axis !== (node.attrs.layout === "nhwc" ? rank - 1 : 1)) return null;
  const params = node.ins.slice(1).map((v) => ctx.constant(v));
  if (params.some((t) => t === undefined)) return null;
  const [gamma, beta, mean, variance] = params.map((t) => toNumbers(t!));
  const scale = gamma!.map((g, c) => g / Math.sqrt(variance![c]! + node.attrs.epsilon));
  return { x: node.ins[0]!, axis, scale, shift: scale.map((s, c) => beta![c]! - mean![c]! * s) };
}

/** The node as scaling and shifting along `axis` of its only variable operand. */
function affineOf(node: Node, ctx: RewriteContext, axis: number): Affine | null {
  const norm = batchNormAffine(node, ctx, axis);
  if (norm !== null || node.ins.length !== 2) return norm;
  const side = ctx.constant(node.ins[1]!) !== undefined ? 1 : 0;
  const [x, other] = [node.ins[1 - side]!, ctx.constant(node.ins[side]!)];
  const type = ctx.typeOf(x);
  if (other === undefined || type.quant !== undefined || !isFloat(type.dtype)) return null;
  if (attrOf(node, "out") !== undefined) return null;
  if (!sameShape(type.shape, ctx.typeOf(node.outs[0]!).shape)) return null;
  const c = alongAxis(other, type.shape, axis);
  if (c === null) return null;
  const [ones, zeros] = [c.map(() => 1), c.map(() => 0)];
  if (isOp(node, mul)) return { x, axis, scale: c, shift: zeros };
  if (isOp(node, add)) return { x, axis, scale: ones, shift: c };
  if (isOp(node, sub)) {
    return side === 1
      ? { x, axis, scale: ones, shift: c.map((v) => -v) }
      : { x, axis, scale: c.map(() => -1), shift: c };
  }
  if (!isOp(node, div) || side === 0 || c.includes(0)) return null;
  return { x, axis, scale: c.map((v) => 1 / v), shift: zeros };
}

/** The weights, each element times a factor. */
function scaled(w: Tensor, factorOf: (i: number) => number): Tensor {
  const read = numberReader(w);
  return tensorOf(
    w.type.dtype,
    w.type.shape,
    Float64Array.from({ length: w.data.length }, (_, i) => read(i) * factorOf(i)),
  );
}

function rebuilt(
  c: Contraction,
  ctx: RewriteContext,
  x: Value,
  w: Tensor | null,
  bias: readonly number[],
): Value {
  const { builder } = ctx;
  const { node } = c;
  const dtype = ctx.typeOf(node.ins[1]!).dtype;
  const weight = w === null || w === c.weight ? ctx.value(node.ins[1]!) : builder.constant(w);
  const b = builder.constant(tensorOf(dtype, [bias.length], bias));
  return builder.applyAll(node.op, [x, weight, b], node.attrs, node.name)[0]!;
}

/** Scaling and shifting of the result moves into the contraction that computes it. */
function foldBehind(node: Node, ctx: RewriteContext): Value | null {
  for (const v of node.ins) {
    const producer = ctx.producer(v);
    if (producer === undefined || ctx.useCount(v) !== 1) continue;
    const c = contractionOf(producer, ctx);
    if (c === null || c.residual || attrOf(producer, "act") !== undefined) continue;
    const affine = affineOf(node, ctx, c.outAxis);
    if (affine === null || affine.x !== v) continue;
    const keeps = affine.scale.every((s) => s === 1);
    if (!keeps && c.weight === null) continue;
    const bias = affine.shift.map((t, o) => (c.bias?.[o] ?? 0) * affine.scale[o]! + t);
    const w = keeps ? c.weight : scaled(c.weight!, (i) => affine.scale[c.outIndex(i)]!);
    return rebuilt(c, ctx, ctx.value(producer.ins[0]!), w, bias);
  }
  return null;
}

/** Scaling and shifting of the operand moves into the contraction that reads it, if nothing is padded. */
function foldAhead(node: Node, ctx: RewriteContext): Value | null {
  const c = contractionOf(node, ctx);
  const producer = ctx.producer(node.ins[0]!);
  if (c === null || c.weight === null || c.padded || c.residual || producer === undefined)
    return null;
  if (ctx.useCount(node.ins[0]!) !== 1) return null;
  const affine = affineOf(producer, ctx, c.inAxis);
  if (affine === null) return null;
  const read = numberReader(c.weight);
  const bias = c.bias?.slice() ?? new Array<number>(c.outputs).fill(0);
  for (let i = 0; i < c.weight.data.length; i++) {
    bias[c.outIndex(i)]! += read(i) * affine.shift[c.inIndex(i)]!;
  }
  const keeps = affine.scale.every((s) => s === 1);
  const w = keeps ? c.weight : scaled(c.weight, (i) => affine.scale[c.inIndex(i)]!);
  return rebuilt(c, ctx, ctx.value(affine.x), w, bias);
}

const fold: NodeRule = (node, ctx) => {
  if (node.outs.length !== 1) return null;
  const v = foldBehind(node, ctx) ?? foldAhead(node, ctx);
  return v === null ? null : [v];
};

export const foldAffine = definePass({
  name: "fold-affine",
  doc: `Folds batch normalisation and per-channel arithmetic with constants into the weights and bias of
    the convolution or matrix product before it, or after it where nothing is padded. Float only.`,
  run: (graph) => repeat(graph, (g) => rewrite(g, fold)),
});
