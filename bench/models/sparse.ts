/** @file Networks with single weights pruned by magnitude, for timing and storage: random weights, no accuracy. */
import {
  applyMasks,
  layerWeights,
  magnitudeMasks,
  type Scope,
} from "../../src/compress/sparsity/index.ts";
import type { Graph } from "../../src/graph/graph.ts";

/**
 * The graph with that share of its weights at zero. Those that stay grow by what their layer has lost, so that sums
 * keep their size and deep networks do not end in denormal numbers.
 */
export function prunedWeights(graph: Graph, sparsity: number, scope: Scope = "layer"): Graph {
  const weights = layerWeights(graph);
  const masked = applyMasks(graph, weights, magnitudeMasks(weights, { sparsity, scope }));
  const constants = new Map(masked.constants);
  for (const { value } of weights) {
    const { type, data } = constants.get(value)!;
    const kept = (data as Float32Array).reduce((n, w) => n + Number(w !== 0), 0);
    const gain = Math.sqrt(data.length / Math.max(1, kept));
    constants.set(value, { type, data: Float32Array.from(data as Float32Array, (w) => w * gain) });
  }
  return { ...masked, constants };
}
