/** @file Stored weights back as f32 constants: what calibration and training start from. */
import type { Graph } from "../../graph/graph.ts";
import { evalNode } from "../../graph/interpret.ts";
import { rewrite } from "../../graph/rewrite.ts";
import { expandWeights, runPasses } from "../../passes/index.ts";
import { readsStorage } from "../../passes/rules.ts";

/** Replaces half-precision and integer constants by the f32 values they are read as. */
export function unpackWeights(graph: Graph): Graph {
  return rewrite(graph, (node, ctx) => {
    const t = node.ins.length === 1 ? ctx.constant(node.ins[0]!) : undefined;
    if (t === undefined || !readsStorage(node, t.type)) return null;
    const name = graph.values.get(node.ins[0]!)!.name;
    return [ctx.builder.constant(evalNode(node, [t], graph)[0]!, name)];
  });
}

/** What integers are made from: all weights as f32 constants, hashed ones too. */
export const plainWeights = (graph: Graph): Graph =>
  runPasses(unpackWeights(graph), [expandWeights]);
