/** @file Second moments of what layers see, measured on data. */
import type { Executor, Graph, Node } from "../../graph/graph.ts";
import { channelAxis, spatialOf } from "../../ops/nn/spatial.ts";
import { type Tensor, toNumbers } from "../../tensor/tensor.ts";
import { UserError } from "../../util/errors.ts";
import type { Layer } from "../factorise/layer.ts";
import { type Mat, matOf } from "../factorise/linear-algebra.ts";
import { type Batches, withOutputs } from "../quantize/calibrate.ts";

/**
 * Means of the products of all pairs of values in a window, [inputs * height * width] squared in the order of weights,
 * by the layers' nodes.
 */
export type Moments = ReadonlyMap<Node, Mat>;

/** Positions of a batch that are looked at, by default. */
const POSITIONS = 512;

/**
 * Measures what the layers' windows see on the batches, at `positions` places of each batch, evenly spread. Throws
 * UserError when there are no batches.
 */
export async function inputMoments(
  graph: Graph,
  layers: readonly Layer[],
  executor: Executor,
  batches: Batches,
  positions: number = POSITIONS,
): Promise<Moments> {
  const exposed = withOutputs(
    graph,
    layers.map((l) => l.node.ins[0]!),
  );
  const sums = layers.map(({ kernel: k }) => {
    const n = k.inputs * k.height * k.width;
    return matOf(n, n);
  });
  const counts = layers.map(() => 0);
  for await (const feeds of batches) {
    const values = await executor(exposed, feeds);
    values.forEach((x, n) => {
      counts[n]! += addProducts(sums[n]!, x, layers[n]!, positions);
    });
  }
  if (counts.some((c) => c === 0)) {
    throw new UserError("E_DATA", "no rows to measure the layers' inputs on", {
      hint: "give some tens of typical inputs",
    });
  }
  return new Map(
    layers.map((l, n) => {
      const { rows, cols, data } = sums[n]!;
      const full = matOf(rows, cols);
      for (let i = 0; i < rows; i++)
        for (let j = 0; j <= i; j++) {
          full.data[i * cols + j] = data[i * cols + j]! / counts[n]!;
          full.data[j * cols + i] = full.data[i * cols + j]!;
        }
      return [l.node, full];
    }),
  );
}

/** Reads the window of an output position, counted over rows and places: [inputs, height, width]. */
function windows(x: Tensor, { kernel, geometry, outPositions }: Layer) {
  const { layout, stride, padBegin, padEnd, dilation } = geometry!;
  const { shape } = x.type;
  const last = channelAxis(layout, shape.length) === shape.length - 1;
  const [height, width] = spatialOf(layout, shape) as [number, number];
  const { inputs } = kernel;
  const reach = (kernel.width - 1) * dilation[1]! + 1;
  const across = Math.floor((width + padBegin[1]! + padEnd[1]! - reach) / stride[1]!) + 1;
  const each = outPositions / shape[0]!;
  const data = toNumbers(x);
  return (position: number, out: Float64Array): void => {
    const row = Math.floor(position / each);
    const [oy, ox] = [Math.floor((position % each) / across), (position % each) % across];
    let at = 0;
    for (let c = 0; c < inputs; c++)
      for (let ky = 0; ky < kernel.height; ky++)
        for (let kx = 0; kx < kernel.width; kx++) {
          const y = oy * stride[0]! - padBegin[0]! + ky * dilation[0]!;
          const z = ox * stride[1]! - padBegin[1]! + kx * dilation[1]!;
          const inside = y >= 0 && y < height && z >= 0 && z < width;
          const from = last
            ? ((row * height + y) * width + z) * inputs + c
            : ((row * inputs + c) * height + y) * width + z;
          out[at++] = inside ? data[from]! : 0;
        }
  };
}

/** Adds products of pairs, the lower triangle; how many positions there were. */
function addProducts(sum: Mat, x: Tensor, layer: Layer, most: number): number {
  const total = layer.outPositions;
  const count = Math.min(total, most);
  const read = windows(x, layer);
  const seen = new Float64Array(sum.rows);
  for (let n = 0; n < count; n++) {
    read(Math.floor((n * total) / count), seen);
    for (let i = 0; i < seen.length; i++) {
      const a = seen[i]!;
      if (a === 0) continue;
      for (let j = 0; j <= i; j++) sum.data[i * sum.cols + j]! += a * seen[j]!;
    }
  }
  return count;
}

/** Moments of channels [inputs, inputs], means over the places of the window. */
export function channelMoments(moments: Mat, inputs: number): Mat {
  const taps = moments.rows / inputs;
  const out = matOf(inputs, inputs);
  for (let i = 0; i < inputs; i++)
    for (let j = 0; j < inputs; j++)
      for (let t = 0; t < taps; t++) {
        const from = (i * taps + t) * moments.cols + j * taps + t;
        out.data[i * inputs + j]! += moments.data[from]! / taps;
      }
  return out;
}
