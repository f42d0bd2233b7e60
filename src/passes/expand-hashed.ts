/** @file Writes hashed weights out: for what takes weights as constants only. */
import { isOp } from "../graph/graph.ts";
import { evalNode } from "../graph/interpret.ts";
import { rewrite } from "../graph/rewrite.ts";
import { hashedWeights } from "../ops/nn/hashed-weights.ts";
import { foldConstants } from "./fold-constants.ts";
import { definePass, untilStable } from "./pass.ts";

const expand = definePass({
  name: "expand-hashed",
  doc: "Replaces hashed weights of constant vectors by the virtual tensors they stand for.",
  run: (graph) =>
    rewrite(graph, (node, ctx) => {
      if (!isOp(node, hashedWeights)) return null;
      const w = ctx.constant(node.ins[0]!);
      if (w === undefined) return null;
      const [v] = node.outs;
      const name = graph.values.get(v!)!.name;
      return [ctx.builder.constant(evalNode(node, [w], graph)[0]!, name)];
    }),
});

/** The graph without hashed weights; those that are trained stay. */
export const expandHashed = untilStable("expand-hashed", [expand, foldConstants]);
