/** @file The parts that take a layer's place: convolutions and linear layers in the layer's own layout and type. */
import type { GraphBuilder, Value } from "../../graph/graph.ts";
import type { Attrs } from "../../graph/op.ts";
import type { RewriteContext } from "../../graph/rewrite.ts";
import { conv } from "../../ops/nn/conv.ts";
import { linear } from "../../ops/nn/linear.ts";
import { permuteTensor } from "../../passes/rules.ts";
import { type Tensor, tensorOf } from "../../tensor/tensor.ts";
import type { Geometry, Layer } from "./layer.ts";

/** Where a layer stood. */
export interface Place {
  readonly g: GraphBuilder;
  readonly layer: Layer;
  readonly x: Value;
  /** Bias and residual, if any. */
  readonly rest: readonly Value[];
}

/** Weights [outputs, inputs of a group, height, width]. */
export interface StageWeights {
  readonly shape: readonly [number, number, number, number];
  readonly data: Float64Array;
}

export interface StageMoves {
  readonly stride?: readonly number[];
  readonly padBegin?: readonly number[];
  readonly padEnd?: readonly number[];
  readonly dilation?: readonly number[];
  readonly groups?: number;
}

export interface StageOptions extends StageMoves {
  /** Takes the layer's bias, residual and activation. */
  readonly last?: boolean;
}

function weightTensor({ layer }: Place, { shape, data }: StageWeights): Tensor {
  const { geometry, dtype } = layer;
  if (geometry === null) return tensorOf(dtype, shape.slice(0, 2), data);
  const first = tensorOf(dtype, shape, data);
  return geometry.layout === "nchw" ? first : permuteTensor(first, [0, 2, 3, 1]);
}

const FUSED = ["act", "out", "arith"] as const;

/** What the layer computes on the way out, as attributes. */
function lastAttrs(layer: Layer): Attrs {
  const attrs = layer.node.attrs as Readonly<Record<string, unknown>>;
  return Object.fromEntries(FUSED.flatMap((k) => (k in attrs ? [[k, attrs[k]]] : [])));
}

/** Writes what takes a layer's place where the layer was, under the name of its result. */
export function inPlace(
  ctx: RewriteContext,
  layer: Layer,
  build: (place: Place) => Value,
): readonly Value[] {
  const [x, , ...rest] = layer.node.ins.map(ctx.value);
  const y = build({ g: ctx.builder, layer, x: x!, rest });
  ctx.builder.setName(y, ctx.graph.values.get(layer.node.outs[0]!)!.name);
  return [y];
}

/** One convolution (or linear layer, where the layer is one). */
export function stage(
  place: Place,
  x: Value,
  weights: StageWeights,
  suffix: string,
  options: StageOptions = {},
): Value {
  const { g, layer, rest } = place;
  const { last = false, groups = 1, ...moves } = options;
  const w = g.constant(weightTensor(place, weights), `${layer.name}.${suffix}.weight`);
  const ins = last ? [x, w, ...rest] : [x, w];
  const own = last ? lastAttrs(layer) : {};
  const name = last ? layer.name : `${layer.name}.${suffix}`;
  const { geometry } = layer;
  if (geometry === null) return g.apply(linear, ins, own, name);
  const attrs = {
    layout: geometry.layout,
    stride: moves.stride ?? [1, 1],
    padBegin: moves.padBegin ?? [0, 0],
    padEnd: moves.padEnd ?? [0, 0],
    dilation: moves.dilation ?? [1, 1],
    groups,
    ...own,
  };
  return g.apply(conv, ins, attrs, name);
}

const AXES = [0, 1] as const;

/** The moves of the layer along the given spatial axes, none along the others. */
export function movesAlong(geometry: Geometry | null, axes: readonly number[] = AXES): StageMoves {
  if (geometry === null) return {};
  const pick = (list: readonly number[], none: number): number[] =>
    AXES.map((i) => (axes.includes(i) ? list[i]! : none));
  return {
    stride: pick(geometry.stride, 1),
    padBegin: pick(geometry.padBegin, 0),
    padEnd: pick(geometry.padEnd, 0),
    dilation: pick(geometry.dilation, 1),
  };
}
