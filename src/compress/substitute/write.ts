/** @file Substitutes of one layer: weights nearest to its own, their cost, and the sub-graph. */
import type { Value } from "../../graph/graph.ts";
import { relu } from "../../ops/elementwise/relu.ts";
import { batchNorm } from "../../ops/nn/batch-norm.ts";
import { channelAxis } from "../../ops/nn/spatial.ts";
import { gather } from "../../ops/shape/gather.ts";
import { tensorOf, toNumbers } from "../../tensor/tensor.ts";
import type { Kernel, Layer } from "../factorise/layer.ts";
import { type Mat, matOf, squaredNorm, transposed } from "../factorise/linear-algebra.ts";
import type { Cost } from "../factorise/method.ts";
import { movesAlong, type Place, stage } from "../factorise/stages.ts";
import { narrowed } from "./bottleneck.ts";
import { bestGrouping } from "./groups.ts";
import { channelMoments } from "./moments.ts";
import { projected } from "./project.ts";
import type { Form } from "./type.ts";

/** What stands between the convolutions of a substitute. */
export type Between = "nothing" | "norm" | "relu";

/** A substitute with its weights. */
export interface Written {
  /** What the weights multiply out to, norms and ReLUs left out: [outputs, inputs, height, width]. */
  readonly dense: Float64Array;
  build(place: Place): Value;
}

const EPSILON = 1e-5;

/** Elements of weights and multiply-accumulates; norms between count their scales and shifts. */
export function formCost(layer: Layer, form: Form, between: Between): Cost {
  const { outputs, inputs, height, width } = layer.kernel;
  const { inPositions, outPositions } = layer;
  const taps = height * width;
  const norms = between === "nothing" ? 0 : 2;
  if (form.kind === "alone") {
    const params = (outputs * inputs * taps) / form.groups;
    return { params, macs: params * outPositions };
  }
  if (form.kind === "pointwise") {
    const { groups, between: b } = form;
    const params = (b * inputs * taps) / groups + b * outputs;
    return { params: params + norms * b, macs: params * outPositions };
  }
  const { groups, between: b, behind } = form;
  const first = inputs * b;
  const rest = (b * behind * taps) / groups + behind * outputs;
  return {
    params: first + rest + norms * (b + behind),
    macs: inPositions * first + outPositions * rest,
  };
}

/** A normalisation that changes nothing as it starts, and a ReLU. */
function parted(place: Place, y: Value, name: string, between: Between): Value {
  const { g, layer } = place;
  if (between === "nothing") return y;
  const { layout } = layer.geometry!;
  const { shape } = g.typeOf(y);
  const count = shape[channelAxis(layout, shape.length)]!;
  const vector = (own: string, value: number): Value => {
    const data = new Float64Array(count).fill(value);
    return g.constant(tensorOf(layer.dtype, [count], data), `${name}.${own}`);
  };
  const scale = Math.sqrt(1 + EPSILON);
  const ins = [
    y,
    vector("gamma", scale),
    vector("beta", 0),
    vector("mean", 0),
    vector("variance", 1),
  ];
  const normed = g.apply(batchNorm, ins, { layout, epsilon: EPSILON }, name);
  return between === "norm" ? normed : g.apply(relu, [normed]);
}

/** The substitute of a layer. `moments`: as for `projected`. */
export function written(layer: Layer, form: Form, between: Between, moments?: Mat): Written {
  const k = layer.kernel;
  const window = [k.height, k.width] as const;
  const moves = movesAlong(layer.geometry);
  if (form.kind === "pointwise") {
    const { groups, between: b } = form;
    const found = projected(k, groups, b, moments);
    const first = { shape: [b, k.inputs / groups, ...window] as const, data: found.window };
    const last = { shape: [k.outputs, b, 1, 1] as const, data: found.point.data };
    return {
      dense: found.dense,
      build: (place) => {
        const inner = stage(place, place.x, first, "window", { ...moves, groups });
        const y = parted(place, inner, `${layer.name}.norm`, between);
        return stage(place, y, last, "out", { last: true });
      },
    };
  }
  if (form.kind === "alone") return alone(layer, form.groups, moments);
  const { groups, between: b, behind } = form;
  const found = narrowed(k, form, moments);
  const first = { shape: [b, k.inputs, 1, 1] as const, data: transposed(found.inner).data };
  const core = { shape: [behind, b / groups, ...window] as const, data: found.core };
  const last = { shape: [k.outputs, behind, 1, 1] as const, data: found.outer.data };
  return {
    dense: found.dense,
    build: (place) => {
      const narrow = stage(place, place.x, first, "in");
      const x = parted(place, narrow, `${layer.name}.norm1`, between);
      const inner = stage(place, x, core, "window", { ...moves, groups });
      const y = parted(place, inner, `${layer.name}.norm2`, between);
      return stage(place, y, last, "out", { last: true });
    },
  };
}

/** Sums of squares over the window, of inputs as strong as the moments say. */
function energyOf(k: Kernel, moments?: Mat): Mat {
  const taps = k.height * k.width;
  const out = matOf(k.outputs, k.inputs);
  const channels = moments === undefined ? null : channelMoments(moments, k.inputs);
  for (let at = 0; at < out.data.length; at++) {
    const i = at % k.inputs;
    const strength = channels === null ? 1 : channels.data[i * k.inputs + i]!;
    out.data[at] = strength * squaredNorm(k.data.subarray(at * taps, (at + 1) * taps));
  }
  return out;
}

const inOrder = (order: Int32Array): boolean => order.every((c, i) => c === i);

/** The grouped convolution alone, between channel orders that keep most of the weights. */
function alone(layer: Layer, groups: number, moments?: Mat): Written {
  const k = layer.kernel;
  const taps = k.height * k.width;
  const count = k.inputs / groups;
  const { outputs, inputs } = bestGrouping(energyOf(k, moments), groups);
  const data = new Float64Array(k.outputs * count * taps);
  const dense = new Float64Array(k.data.length);
  outputs.forEach((o, at) => {
    const first = Math.floor(at / (k.outputs / groups)) * count;
    for (let i = 0; i < count; i++) {
      const from = (o * k.inputs + inputs[first + i]!) * taps;
      const own = k.data.subarray(from, from + taps);
      data.set(own, (at * count + i) * taps);
      dense.set(own, from);
    }
  });
  const back = new Int32Array(k.outputs);
  outputs.forEach((o, at) => {
    back[o] = at;
  });
  const weights = { shape: [k.outputs, count, k.height, k.width] as const, data };
  return {
    dense,
    build: (place) => {
      const { rest } = place;
      const x = ordered(place, place.x, inputs, axisOf(place, place.x));
      const own = { ...place, rest: rest.map((v) => ordered(place, v, outputs, axisOf(place, v))) };
      const moves = movesAlong(layer.geometry);
      const y = stage(own, x, weights, "window", { ...moves, groups, last: true });
      return ordered(place, y, back, axisOf(place, y));
    },
  };
}

/** The axis of channels: a bias has only them. */
function axisOf({ g, layer }: Place, v: Value): number {
  const { shape } = g.typeOf(v);
  return shape.length === 1 ? 0 : channelAxis(layer.geometry!.layout, shape.length);
}

/** Channels in another order. */
function ordered({ g }: Place, v: Value, order: Int32Array, axis: number): Value {
  if (inOrder(order)) return v;
  const bias = g.constantOf(v);
  if (bias !== undefined && bias.type.shape.length === 1) {
    const numbers = toNumbers(bias);
    const data = Array.from(order, (c) => numbers[c]!);
    return g.constant(tensorOf(bias.type.dtype, bias.type.shape, data), g.nameOf(v));
  }
  const indices = g.constant(tensorOf("i32", [order.length], order));
  return g.apply(gather, [v, indices], { axis });
}
