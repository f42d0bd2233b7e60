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
import { hashedWeights } from "../ops/nn/hashed-weights.ts";
import { isFloat } from "../tensor/dtype.ts";
import { numberReader, sameShape, type Tensor, tensorOf, toNumbers } from "../tensor/tensor.ts";
import { type ChannelMap, type Contraction, channelMap, contractionOf } from "./contraction.ts";
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

/**
 * As foldBehind, into hashed weights: a product with the scale in front of the layer, where it is known at compile
 * time as the weights are, so that they stay hashed.
 */
function foldIntoHashed(node: Node, ctx: RewriteContext): Value | null {
  const { builder } = ctx;
  for (const v of node.ins) {
    const producer = ctx.producer(v);
    if (producer === undefined || ctx.useCount(v) !== 1 || producer.ins.length > 3) continue;
    const map = channelMap(producer, (i) => ctx.typeOf(producer.ins[i]!).shape);
    if (map === null || attrOf(producer, "act") !== undefined) continue;
    const [x, w, bias] = producer.ins as readonly [Value, Value, Value | undefined];
    const other = node.ins.find((u) => u !== v);
    if (bias === undefined && other !== undefined && addsHashed(node, other, map, ctx)) {
      const ins = [ctx.value(x), ctx.value(w), ctx.value(other)];
      return builder.applyAll(producer.op, ins, producer.attrs, producer.name)[0]!;
    }
    const affine = affineOf(node, ctx, map.outAxis);
    if (affine?.x !== v || (bias !== undefined && !isKnown(bias, ctx))) continue;
    const keeps = affine.scale.every((s) => s === 1);
    if (!isHashed(w, ctx) && !(keeps && isScaled(w, ctx))) continue;
    const { dtype, shape } = ctx.typeOf(w);
    const factors = [map.outputs, ...shape.slice(1).map(() => 1)];
    const along = (to: readonly number[], xs: readonly number[]): Value =>
      builder.constant(tensorOf(dtype, to, xs));
    const times = (a: Value, to: readonly number[]): Value =>
      keeps ? a : builder.apply(mul, [a, along(to, affine.scale)], {});
    const shift = along([map.outputs], affine.shift);
    const b =
      bias === undefined
        ? shift
        : builder.apply(add, [times(ctx.value(bias), [map.outputs]), shift], {});
    const ins = [ctx.value(x), times(ctx.value(w), factors), b];
    return builder.applyAll(producer.op, ins, producer.attrs, producer.name)[0]!;
  }
  return null;
}

/** Whether the value is hashed weights times a constant. */
function isScaled(v: Value, ctx: RewriteContext): boolean {
  const producer = ctx.producer(v);
  if (producer === undefined || !isOp(producer, mul)) return false;
  const [a, b] = producer.ins as readonly [Value, Value];
  return isHashed(a, ctx) && ctx.constant(b) !== undefined;
}

/** Whether the value depends on constants alone. */
function isKnown(v: Value, ctx: RewriteContext): boolean {
  if (ctx.constant(v) !== undefined) return true;
  const producer = ctx.producer(v);
  return (
    producer !== undefined && producer.ins.length > 0 && producer.ins.every((u) => isKnown(u, ctx))
  );
}

/** Whether the node adds a hashed bias to the result of a layer. */
function addsHashed(node: Node, bias: Value, map: ChannelMap, ctx: RewriteContext): boolean {
  if (!isOp(node, add) || !isHashed(bias, ctx)) return false;
  const last = ctx.typeOf(node.outs[0]!).shape.length - 1;
  return map.outAxis === last && sameShape(ctx.typeOf(bias).shape, [map.outputs]);
}

/** Whether the value is part of hashed weights that no factors apply to. */
function isHashed(v: Value, ctx: RewriteContext): boolean {
  const producer = ctx.producer(v);
  if (producer === undefined || producer.ins.length !== 1) return false;
  if (isOp(producer, hashedWeights)) return ctx.constant(producer.ins[0]!) !== undefined;
  return producer.op.quant === "same" && isHashed(producer.ins[0]!, ctx);
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
  const v = foldBehind(node, ctx) ?? foldIntoHashed(node, ctx) ?? foldAhead(node, ctx);
  return v === null ? null : [v];
};

export const foldAffine = definePass({
  name: "fold-affine",
  doc: `Folds batch normalisation and per-channel arithmetic with constants into the weights and bias of
    the convolution or matrix product before it, or after it where nothing is padded. Float only.`,
  run: (graph) => repeat(graph, (g) => rewrite(g, fold)),
});
