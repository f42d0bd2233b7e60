/** @file Masks before training by connection sensitivity (SNIP, Lee et al., arXiv:1810.02340). */
import type { Graph } from "../../graph/graph.ts";
import { type LossData, weightGradients } from "../prune/loss-importance.ts";
import { masksByScores, type ScoreOptions } from "./magnitude.ts";
import type { LayerWeights, Masks } from "./weights.ts";

/** |w dL/dw| of every weight, by the names of layers; gradients are means over the batches. */
export async function snipScores(
  graph: Graph,
  weights: readonly LayerWeights[],
  data: LossData,
): Promise<ReadonlyMap<string, Float64Array>> {
  const found = await weightGradients(
    graph,
    weights.map((w) => w.value),
    data,
  );
  return new Map(
    weights.map(({ name, tensor }, i) => {
      const w = tensor.data as Float32Array;
      return [name, found[i]!.map((g, k) => Math.abs(g * w[k]!))];
    }),
  );
}

/** Masks without the weights to which the loss is least sensitive; the paper's are global, of one batch. */
export const snipMasks = async (
  graph: Graph,
  weights: readonly LayerWeights[],
  data: LossData,
  options: ScoreOptions,
): Promise<Masks> => masksByScores(weights, await snipScores(graph, weights, data), options);
