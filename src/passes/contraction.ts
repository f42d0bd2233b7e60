/** @file One view of convolution and linear for the passes that change weights and bias. */
import { isOp, type Node } from "../graph/graph.ts";
import type { RewriteContext } from "../graph/rewrite.ts";
import { conv } from "../ops/nn/conv.ts";
import { convTranspose } from "../ops/nn/conv-transpose.ts";
import { linear } from "../ops/nn/linear.ts";
import { elementCount, type Shape, type Tensor, toNumbers } from "../tensor/tensor.ts";

/** Where the channels of a convolution or linear layer are. Weights have the outputs on axis 0. */
export interface ChannelMap {
  readonly node: Node;
  readonly groups: number;
  /** Axis of the operand and of the result that the channels run along. */
  readonly inAxis: number;
  readonly outAxis: number;
  /** Axis of the weights along which the inputs of one group run. */
  readonly weightInAxis: number;
  readonly inputs: number;
  readonly outputs: number;
  /** Whether some window reaches outside the operand. */
  readonly padded: boolean;
  /** Output and input channel that element i of the weights connects. */
  outIndex(i: number): number;
  inIndex(i: number): number;
}

interface Place {
  readonly groups: number;
  readonly axis: number;
  readonly weightInAxis: number;
  readonly padded: boolean;
}

function placeOf(node: Node, rank: number): Place | null {
  if (isOp(node, linear)) return { groups: 1, axis: rank - 1, weightInAxis: 1, padded: false };
  if (!isOp(node, conv)) return null;
  const { layout, groups, padBegin, padEnd } = node.attrs;
  const axis = layout === "nhwc" ? rank - 1 : 1;
  const padded = [...padBegin, ...padEnd].some((n) => n > 0);
  return { groups, axis, weightInAxis: axis, padded };
}

/** The channels of a convolution or linear node; null for other nodes. */
export function channelMap(node: Node, shapeOf: (i: number) => Shape): ChannelMap | null {
  const place = placeOf(node, node.ins.length > 0 ? shapeOf(0).length : 0);
  if (place === null) return null;
  const { groups, axis, weightInAxis, padded } = place;
  const w = shapeOf(1);
  const outputs = w[0]!;
  const perGroup = w[weightInAxis]!;
  const outStep = elementCount(w.slice(1));
  const inStep = elementCount(w.slice(weightInAxis + 1));
  const outIndex = (i: number): number => Math.floor(i / outStep);
  return {
    node,
    groups,
    inAxis: axis,
    outAxis: axis,
    weightInAxis,
    inputs: perGroup * groups,
    outputs,
    padded,
    outIndex,
    inIndex: (i) =>
      Math.floor((outIndex(i) * groups) / outputs) * perGroup + (Math.floor(i / inStep) % perGroup),
  };
}

/** A float contraction whose bias, if any, is constant. */
export interface Contraction extends ChannelMap {
  /** Null: the weights are not a plain constant. */
  readonly weight: Tensor | null;
  readonly bias: readonly number[] | null;
  readonly residual: boolean;
}

/**
 * The channels of a transposed convolution, whose weights have the inputs on axis 0. Its borders see fewer
 * taps than the middle: it counts as padded.
 */
function transposedMap(node: Node, ctx: RewriteContext): ChannelMap | null {
  if (!isOp(node, convTranspose) || node.attrs.groups !== 1) return null;
  const { shape } = ctx.typeOf(node.ins[1]!);
  const axis = node.attrs.layout === "nhwc" ? shape.length - 1 : 1;
  const step = elementCount(shape.slice(axis + 1));
  const inStep = elementCount(shape.slice(1));
  return {
    node,
    groups: 1,
    inAxis: axis,
    outAxis: axis,
    weightInAxis: 0,
    inputs: shape[0]!,
    outputs: shape[axis]!,
    padded: true,
    outIndex: (i) => Math.floor(i / step) % shape[axis]!,
    inIndex: (i) => Math.floor(i / inStep),
  };
}

/** The node as a contraction in f32 or f64; null for others. */
export function contractionOf(node: Node, ctx: RewriteContext): Contraction | null {
  const shapeOf = (i: number): Shape => ctx.typeOf(node.ins[i]!).shape;
  const map = transposedMap(node, ctx) ?? channelMap(node, shapeOf);
  if (map === null) return null;
  const type = ctx.typeOf(node.outs[0]!);
  if (type.quant !== undefined || (type.dtype !== "f32" && type.dtype !== "f64")) return null;
  const bias = node.ins[2] === undefined ? undefined : ctx.constant(node.ins[2]);
  if (node.ins.length > 2 && bias === undefined) return null;
  return {
    ...map,
    weight: ctx.constant(node.ins[1]!) ?? null,
    bias: bias === undefined ? null : toNumbers(bias),
    residual: node.ins.length > 3,
  };
}
