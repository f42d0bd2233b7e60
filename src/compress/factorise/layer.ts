/** @file The layers of a graph that can be factorised: convolutions over two axes and linear layers. */
import { type Graph, isOp, type Node, typeOf, type Value } from "../../graph/graph.ts";
import { type ConvAttrs, conv } from "../../ops/nn/conv.ts";
import { linear } from "../../ops/nn/linear.ts";
import { type Layout, spatialOf } from "../../ops/nn/spatial.ts";
import { permuteTensor } from "../../passes/rules.ts";
import type { DType } from "../../tensor/dtype.ts";
import { type Tensor, toFloat64 } from "../../tensor/tensor.ts";
import { product } from "../../util/math.ts";
import { layerName } from "../quantize/calibrate.ts";

/** Weights [outputs, inputs, height, width]; a linear layer has height and width 1. */
export interface Kernel {
  readonly outputs: number;
  readonly inputs: number;
  readonly height: number;
  readonly width: number;
  readonly data: Float64Array;
}

/** How a convolution moves. */
export interface Geometry {
  readonly layout: Layout;
  readonly stride: readonly number[];
  readonly padBegin: readonly number[];
  readonly padEnd: readonly number[];
  readonly dilation: readonly number[];
}

export interface Layer {
  readonly node: Node;
  readonly name: string;
  readonly kernel: Kernel;
  /** Null: a linear layer. */
  readonly geometry: Geometry | null;
  readonly dtype: DType;
  /** Rows of the operand and of the result: batch times positions. */
  readonly inPositions: number;
  readonly outPositions: number;
  /** Rows where the height is that of the result and the width still that of the operand. */
  readonly midPositions: number;
  /** Something is computed on the way out: an activation, or a residual is added. */
  readonly fused: boolean;
}

export const weightCount = (k: Kernel): number => k.outputs * k.inputs * k.height * k.width;

/** Multiply-accumulates of the layer as it is. */
export const denseMacs = (l: Layer): number => l.outPositions * weightCount(l.kernel);

const isFused = (node: Node): boolean =>
  (node.attrs as { readonly act?: unknown }).act !== undefined || node.ins.length > 3;

function linearLayer(graph: Graph, node: Node, w: Tensor): Layer {
  const [outputs, inputs] = w.type.shape as [number, number];
  const rows = product(typeOf(graph, node.ins[0]!).shape) / inputs;
  return {
    node,
    name: layerName(graph, node),
    kernel: { outputs, inputs, height: 1, width: 1, data: toFloat64(w) },
    geometry: null,
    dtype: w.type.dtype,
    inPositions: rows,
    outPositions: rows,
    midPositions: rows,
    fused: isFused(node),
  };
}

function convLayer(graph: Graph, node: Node<ConvAttrs>, w: Tensor): Layer {
  const { layout, stride, padBegin, padEnd, dilation } = node.attrs;
  const first = layout === "nchw" ? w : permuteTensor(w, [0, 3, 1, 2]);
  const [outputs, inputs, height, width] = first.type.shape as [number, number, number, number];
  const from = typeOf(graph, node.ins[0]!).shape;
  const [h, v] = spatialOf(layout, from) as [number, number];
  const [oh, ow] = spatialOf(layout, typeOf(graph, node.outs[0]!).shape) as [number, number];
  const batch = from[0]!;
  return {
    node,
    name: layerName(graph, node),
    kernel: { outputs, inputs, height, width, data: toFloat64(first) },
    geometry: { layout, stride, padBegin, padEnd, dilation },
    dtype: w.type.dtype,
    inPositions: batch * h * v,
    outPositions: batch * oh * ow,
    midPositions: batch * oh * v,
    fused: isFused(node),
  };
}

/** The layer of a node: float, undivided, with constant weights; null for all others. */
export function layerOf(graph: Graph, node: Node): Layer | null {
  const w = graph.constants.get(node.ins[1]!);
  if (w === undefined || (w.type.dtype !== "f32" && w.type.dtype !== "f64")) return null;
  if (isOp(node, linear)) return linearLayer(graph, node, w);
  if (!isOp(node, conv)) return null;
  const whole = node.attrs.groups === 1 && w.type.shape.length === 4;
  return whole ? convLayer(graph, node, w) : null;
}

/** Which layers are taken. */
export interface LayerChoice {
  /** By name; default all. */
  readonly only?: (name: string) => boolean;
  /** Also layers that no other multiplying layer comes before; default false. */
  readonly stem?: boolean;
  /** Also layers that no other multiplying layer comes behind; default false. */
  readonly classifier?: boolean;
}

/** Values behind (or, walked backwards, before) some multiplying operator. */
function reached(graph: Graph, backwards: boolean): Set<Value> {
  const out = new Set<Value>();
  const nodes = backwards ? [...graph.nodes].reverse() : graph.nodes;
  for (const node of nodes) {
    const [near, far] = backwards ? [node.outs, node.ins] : [node.ins, node.outs];
    if (node.op.cost === undefined && !near.some((v) => out.has(v))) continue;
    for (const v of far) out.add(v);
  }
  return out;
}

/** The layers a choice leaves, in order. */
export function layersOf(graph: Graph, choice: LayerChoice = {}): readonly Layer[] {
  const { only = () => true, stem = false, classifier = false } = choice;
  const behind = reached(graph, false);
  const before = reached(graph, true);
  return graph.nodes.flatMap((node) => {
    if (!stem && !behind.has(node.ins[0] as Value)) return [];
    if (!classifier && !before.has(node.outs[0] as Value)) return [];
    const layer = layerOf(graph, node);
    return layer !== null && only(layer.name) ? [layer] : [];
  });
}
