/** @file Second moments of the inputs of layers, measured on data. */
import type { Executor, Graph, Node } from "../../graph/graph.ts";
import { channelAxis } from "../../ops/nn/spatial.ts";
import { strides } from "../../tensor/shape.ts";
import { toNumbers } from "../../tensor/tensor.ts";
import { UserError } from "../../util/errors.ts";
import type { Layer } from "../factorise/layer.ts";
import { type Mat, matOf } from "../factorise/linear-algebra.ts";
import { type Batches, withOutputs } from "../quantize/calibrate.ts";

/** Means of products of two channels over rows and positions, [inputs, inputs], by the layers' nodes. */
export type Moments = ReadonlyMap<Node, Mat>;

/** Measures what the layers' inputs are on the batches. Throws UserError when there are none. */
export async function inputMoments(
  graph: Graph,
  layers: readonly Layer[],
  executor: Executor,
  batches: Batches,
): Promise<Moments> {
  const exposed = withOutputs(
    graph,
    layers.map((l) => l.node.ins[0]!),
  );
  const sums = layers.map((l) => matOf(l.kernel.inputs, l.kernel.inputs));
  const counts = layers.map(() => 0);
  for await (const feeds of batches) {
    const values = await executor(exposed, feeds);
    values.forEach((x, n) => {
      const { layout } = layers[n]!.geometry!;
      const axis = channelAxis(layout, x.type.shape.length);
      counts[n]! += addProducts(sums[n]!, toNumbers(x), x.type.shape, axis);
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
      return [
        l.node,
        matOf(
          rows,
          cols,
          data.map((x) => x / counts[n]!),
        ),
      ];
    }),
  );
}

/** Adds the products of all pairs of channels at every position; how many positions there were. */
function addProducts(
  sum: Mat,
  x: ArrayLike<number>,
  shape: readonly number[],
  axis: number,
): number {
  const step = strides(shape)[axis]!;
  const count = shape[axis]!;
  const positions = x.length / count;
  for (let p = 0; p < positions; p++) {
    const first = Math.floor(p / step) * step * count + (p % step);
    for (let i = 0; i < count; i++) {
      const a = x[first + i * step]!;
      if (a === 0) continue;
      for (let j = 0; j < count; j++) sum.data[i * count + j]! += a * x[first + j * step]!;
    }
  }
  return positions;
}
