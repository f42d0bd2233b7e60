/** @file Recognises layer and root-mean-square normalisation written out in elementary operators. */
import type { Node, Value } from "../graph/graph.ts";
import { type NodeRule, type RewriteContext, rewrite } from "../graph/rewrite.ts";
import { add } from "../ops/elementwise/add.ts";
import { div } from "../ops/elementwise/div.ts";
import { mul } from "../ops/elementwise/mul.ts";
import { pow } from "../ops/elementwise/pow.ts";
import { reciprocal } from "../ops/elementwise/reciprocal.ts";
import { sqrt } from "../ops/elementwise/sqrt.ts";
import { sub } from "../ops/elementwise/sub.ts";
import { layerNorm, rmsNorm } from "../ops/nn/row-norm.ts";
import { reduceMean } from "../ops/reduce/reduce-mean.ts";
import { sameShape, type Tensor, tensorOf, withType } from "../tensor/tensor.ts";
import { definePass, repeat } from "./pass.ts";
import { numberOf, producedBy, productOf, sumWithNumber } from "./patterns.ts";
import { tryInfer } from "./rules.ts";

/** `numerator / sqrt(mean(deviation^2) + epsilon)`: what normalises, over which axes. */
interface Normalised {
  readonly numerator: Value;
  readonly deviation: Value;
  readonly axis: number;
  readonly epsilon: number;
}

/** The mean over trailing axes, kept: its operand and first axis. */
function trailingMean(ctx: RewriteContext, v: Value | undefined) {
  const node = producedBy(ctx, v, reduceMean);
  if (node === null || !node.attrs.keepDims) return null;
  const { axes } = node.attrs;
  const rank = ctx.typeOf(node.ins[0]!).shape.length;
  const axis = rank - axes.length;
  return axes.length > 0 && axes.every((a, i) => a === axis + i)
    ? { of: node.ins[0]!, axis }
    : null;
}

/** The v of sqrt(v). */
function rootOf(ctx: RewriteContext, v: Value | undefined): Value | null {
  const root = producedBy(ctx, v, sqrt);
  if (root !== null) return root.ins[0]!;
  const power = producedBy(ctx, v, pow);
  return power !== null && numberOf(ctx, power.ins[1]!) === 0.5 ? power.ins[0]! : null;
}

/** The v of 1 / sqrt(v). */
function inverseRootOf(ctx: RewriteContext, v: Value): Value | null {
  const over = producedBy(ctx, v, reciprocal);
  if (over !== null) return rootOf(ctx, over.ins[0]);
  const quotient = producedBy(ctx, v, div);
  if (quotient !== null && numberOf(ctx, quotient.ins[0]!) === 1)
    return rootOf(ctx, quotient.ins[1]);
  const power = producedBy(ctx, v, pow);
  return power !== null && numberOf(ctx, power.ins[1]!) === -0.5 ? power.ins[0]! : null;
}

/** Numerator and the value under the root of `node`, which divides by a root. */
function dividedByRoot(ctx: RewriteContext, node: Node): readonly [Value, Value] | null {
  const quotient = producedBy(ctx, node.outs[0], div);
  if (quotient !== null) {
    const under = rootOf(ctx, quotient.ins[1]);
    return under === null ? null : [quotient.ins[0]!, under];
  }
  const product = producedBy(ctx, node.outs[0], mul);
  if (product === null) return null;
  for (const [a, b] of [product.ins, [...product.ins].reverse()] as (readonly Value[])[]) {
    const under = inverseRootOf(ctx, b!);
    if (under !== null) return [a!, under];
  }
  return null;
}

function normalised(ctx: RewriteContext, node: Node): Normalised | null {
  const parts = dividedByRoot(ctx, node);
  const sum = parts && sumWithNumber(ctx, parts[1]);
  const mean = sum && trailingMean(ctx, sum.term);
  if (parts === null || sum === null || mean === null) return null;
  const { coefficient, factors } = productOf(ctx, mean.of, 1);
  if (coefficient !== 1 || factors.length !== 2 || factors[0] !== factors[1]) return null;
  const { axis } = mean;
  return { numerator: parts[0], deviation: factors[0]!, axis, epsilon: sum.number };
}

/** The x of x - mean(x) over the axes from `axis` on. */
function centred(ctx: RewriteContext, v: Value, axis: number): Value | null {
  const minus = producedBy(ctx, v, sub);
  const mean = trailingMean(ctx, minus?.ins[1]);
  return minus !== null && mean?.axis === axis && mean.of === minus.ins[0] ? mean.of : null;
}

/** A constant operand of `node` with one element for each of the normalised ones, and the other operand. */
function perElement(ctx: RewriteContext, node: Node, inner: readonly number[]) {
  for (const [i, v] of node.ins.entries()) {
    const t = ctx.constant(v);
    if (t === undefined || t.type.quant !== undefined) continue;
    const shape = t.type.shape.slice(-inner.length);
    const lead = t.type.shape.slice(0, -inner.length);
    if (!sameShape(shape, inner) || lead.some((n) => n !== 1)) continue;
    return { tensor: withType(t, { ...t.type, shape }), other: node.ins[1 - i]! };
  }
  return null;
}

interface Parts {
  readonly norm: Normalised;
  readonly gamma: Tensor | null;
  readonly beta: Tensor | null;
}

/** node = (normalised * gamma) + beta; both optional. */
function partsOf(ctx: RewriteContext, node: Node): Parts | null {
  const direct = normalised(ctx, node);
  if (direct !== null) return { norm: direct, gamma: null, beta: null };
  const isSum = producedBy(ctx, node.outs[0], add) !== null;
  if (!isSum && producedBy(ctx, node.outs[0], mul) === null) return null;
  for (const v of node.ins) {
    const producer = ctx.producer(v);
    const inside = producer && partsOf(ctx, producer);
    if (inside == null || inside.beta !== null || (!isSum && inside.gamma !== null)) continue;
    const inner = ctx.typeOf(inside.norm.deviation).shape.slice(inside.norm.axis);
    const found = perElement(ctx, node, inner);
    if (found === null || found.other !== v) continue;
    return isSum ? { ...inside, beta: found.tensor } : { ...inside, gamma: found.tensor };
  }
  return null;
}

const fuse: NodeRule = (node, ctx) => {
  if (node.outs.length !== 1) return null;
  const parts = partsOf(ctx, node);
  if (parts === null || parts.norm.numerator !== parts.norm.deviation) return null;
  const { axis, epsilon, deviation } = parts.norm;
  const x = centred(ctx, deviation, axis);
  const source = ctx.typeOf(x ?? deviation);
  const inner = source.shape.slice(axis);
  const ones = tensorOf(
    source.dtype,
    inner,
    new Float64Array(inner.reduce((a, b) => a * b, 1)).fill(1),
  );
  if (x === null && parts.beta !== null) return null;
  const scaling = parts.gamma === null ? [] : [parts.gamma];
  const params = parts.beta === null ? scaling : [parts.gamma ?? ones, parts.beta];
  const op = x === null ? rmsNorm : layerNorm;
  const types = [source, ...params.map((t) => t.type)];
  const result = tryInfer(op, types, { axis, epsilon });
  if (result === null || !sameShape(result[0]!.shape, ctx.typeOf(node.outs[0]!).shape)) return null;
  const ins = [ctx.value(x ?? deviation), ...params.map((t) => ctx.builder.constant(t))];
  return ctx.builder.applyAll(op, ins, { axis, epsilon }, node.name);
};

export const fuseNorms = definePass({
  name: "fuse-norms",
  doc: "Sums and products that write out layer_norm or rms_norm over trailing axes become those operators.",
  run: (graph) => repeat(graph, (g) => rewrite(g, fuse)),
});
