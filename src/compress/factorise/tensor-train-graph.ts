/** @file A Tensor-Train layer as reshapes, transposes and small matrix products. */
import type { GraphBuilder, Value } from "../../graph/graph.ts";
import { add } from "../../ops/elementwise/add.ts";
import { conv } from "../../ops/nn/conv.ts";
import { linear } from "../../ops/nn/linear.ts";
import { reshape } from "../../ops/shape/reshape.ts";
import { transpose } from "../../ops/shape/transpose.ts";
import { tensorOf } from "../../tensor/tensor.ts";
import { product } from "../../util/math.ts";
import type { Geometry } from "./layer.ts";
import type { Place } from "./stages.ts";
import type { Core } from "./tensor-train.ts";

/** The core as weights of a linear layer: [outputs * left, inputs * right]. */
function coreWeights({ left, outputs, inputs, right, data }: Core): Float64Array {
  const out = new Float64Array(data.length);
  let at = 0;
  for (let m = 0; m < outputs; m++)
    for (let a = 0; a < left; a++)
      for (let n = 0; n < inputs; n++)
        for (let b = 0; b < right; b++)
          out[at++] = data[((a * outputs + m) * inputs + n) * right + b]!;
  return out;
}

/** The sizes of a core: [left, outputs, inputs, right]. */
export type CoreShape = Omit<Core, "data">;

/**
 * x [batch, ..., inputs * last right] through all cores, from the last to the first: [batch, ..., outputs]. `weights`
 * gives core k as [outputs * left, inputs * right].
 */
export function coreChain(
  g: GraphBuilder,
  x: Value,
  cores: readonly CoreShape[],
  weights: (k: number, shape: readonly [number, number]) => Value,
  name: string,
): Value {
  const shaped = (v: Value, shape: readonly number[]): Value => g.apply(reshape, [v], { shape });
  const lead = g.typeOf(x).shape.slice(0, -1);
  // The batch stays an axis of its own, so that the network can be had for another one.
  const [batch, rows] = [lead[0]!, product(lead.slice(1))];
  let done = 1;
  let state = x;
  for (let k = cores.length - 1; k >= 0; k--) {
    const core = cores[k]!;
    const before = product(cores.slice(0, k).map((c) => c.inputs));
    const shape = [core.outputs * core.left, core.inputs * core.right] as const;
    const flat = shaped(state, [batch, rows * done * before, shape[1]]);
    const y = g.apply(linear, [flat, weights(k, shape)], {}, `${name}.core${k + 1}`);
    const apart = shaped(y, [batch, rows, done, before, core.outputs, core.left]);
    const perm = [0, 1, 4, 2, 3, 5];
    state = done * before === 1 ? apart : g.apply(transpose, [apart], { perm });
    done *= core.outputs;
  }
  return shaped(state, [...lead, done]);
}

function chain({ g, layer }: Place, x: Value, cores: readonly Core[]): Value {
  const weights = (k: number, shape: readonly [number, number]): Value =>
    g.constant(
      tensorOf(layer.dtype, shape, coreWeights(cores[k]!)),
      `${layer.name}.core${k + 1}.weight`,
    );
  return coreChain(g, x, cores, weights, layer.name);
}

/** The filters on every channel by itself, as a window over three axes: [batch, height, width, channels * filters]. */
function filtered(place: Place, geometry: Geometry, filters: Float64Array): Value {
  const { g, layer, x } = place;
  const { layout } = geometry;
  const { inputs, height, width } = layer.kernel;
  const last = layout === "nhwc";
  const count = filters.length / (height * width);
  const still = (list: readonly number[], none: number): number[] =>
    last ? [...list, none] : [none, ...list];
  const attrs = {
    layout,
    stride: still(geometry.stride, 1),
    padBegin: still(geometry.padBegin, 0),
    padEnd: still(geometry.padEnd, 0),
    dilation: still(geometry.dilation, 1),
    groups: 1,
  };
  const { shape } = g.typeOf(x);
  const deep = last ? [...shape, 1] : [shape[0]!, 1, ...shape.slice(1)];
  const window = last ? [count, height, width, 1, 1] : [count, 1, 1, height, width];
  const name = `${layer.name}.filters`;
  const w = g.constant(tensorOf(layer.dtype, window, filters), `${name}.weight`);
  const single = g.apply(reshape, [x], { shape: deep });
  const y = g.apply(conv, [single, w], attrs, name);
  const turned = last ? y : g.apply(transpose, [y], { perm: [0, 3, 4, 2, 1] });
  const [batch, oh, ow] = g.typeOf(turned).shape;
  return g.apply(reshape, [turned], { shape: [batch!, oh!, ow!, inputs * count] });
}

/** The layer as filters (convolutions only), cores and bias. Filters [last right, height * width]. */
export function buildTensorTrain(
  place: Place,
  cores: readonly Core[],
  filters: Float64Array | null,
): Value {
  const { g, layer, rest } = place;
  const { geometry } = layer;
  let x = place.x;
  if (filters !== null) x = filtered(place, geometry!, filters);
  else if (geometry?.layout === "nchw") x = g.apply(transpose, [x], { perm: [0, 2, 3, 1] });
  let out = chain(place, x, cores);
  const [bias] = rest;
  if (bias !== undefined) out = g.apply(add, [out, bias], {}, `${layer.name}.bias`);
  if (geometry?.layout !== "nchw") return out;
  return g.apply(transpose, [out], { perm: [0, 3, 1, 2] });
}
