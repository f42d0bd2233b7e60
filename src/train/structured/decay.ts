/** @file Weight decay scaled by the compression ratio (CRS; Gray, Crowley, Storkey, arXiv:1906.00859). */
import { compressedNames } from "../../compress/compressed.ts";
import { parameterCount } from "../../graph/count.ts";
import type { Graph } from "../../graph/graph.ts";
import { type DecayRule, decayRule } from "../parameters.ts";

/**
 * `decay` as it is for dense layers; for parameters of compressed layers times the parameters of the whole network
 * over those of the `original` one, so that the prior on what the layers stand for keeps its variance. A number decays
 * compressed parameters of every kind.
 */
export function crsDecay(graph: Graph, original: Graph, decay: number | DecayRule): DecayRule {
  const names = compressedNames(graph);
  const ratio = parameterCount(graph) / parameterCount(original);
  const others = decayRule(decay);
  return (name, tensor, tag) => {
    if (!names.has(name)) return others(name, tensor, tag);
    return ratio * (typeof decay === "number" ? decay : decay(name, tensor, tag));
  };
}
