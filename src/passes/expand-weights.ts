/** @file Writes out weights that are made of smaller ones: for what takes weights as constants only. */
import { evalNode } from "../graph/interpret.ts";
import { rewrite } from "../graph/rewrite.ts";
import { withType } from "../tensor/tensor.ts";
import { foldConstants } from "./fold-constants.ts";
import { definePass, untilStable } from "./pass.ts";
import { readsStorage } from "./rules.ts";

const expand = definePass({
  name: "expand-weights",
  doc: `Computes weights that are hashed, products of factors or stacks of ACDC layers, whatever their size.`,
  run: (graph) =>
    rewrite(graph, (node, ctx) => {
      const ins = node.ins.map((v) => ctx.constant(v));
      const [first] = ins;
      if (first === undefined || readsStorage(node, first.type)) return null;
      if (ins.some((t) => t === undefined)) return null;
      const outs = evalNode(
        node,
        ins.map((t) => t!),
        graph,
      );
      return node.outs.map((v, i) =>
        ctx.builder.constant(withType(outs[i]!, ctx.typeOf(v)), graph.values.get(v)!.name),
      );
    }),
});

/** The graph without weights that depend on constants alone; those that are trained stay. */
export const expandWeights = untilStable("expand-weights", [expand, foldConstants]);
