/** @file Computes ahead what depends on constants alone. */

import { isOp, type Node } from "../graph/graph.ts";
import { evalNode } from "../graph/interpret.ts";
import { type NodeRule, type RewriteContext, rewrite } from "../graph/rewrite.ts";
import { growsStorage } from "../graph/storage.ts";
import { acdc } from "../ops/nn/acdc.ts";
import { hashedWeights } from "../ops/nn/hashed-weights.ts";
import { withType } from "../tensor/tensor.ts";
import { definePass } from "./pass.ts";
import { readsStorage } from "./rules.ts";

const worthStoring = ({ ins, outs }: Node, ctx: RewriteContext): boolean =>
  !growsStorage(
    ins.map((v) => ctx.typeOf(v)),
    outs.map((v) => ctx.typeOf(v)),
  );

/** Evaluates nodes of constants, where `pays`; never the reading of compressed weights. */
export const evaluating =
  (pays: (node: Node, ctx: RewriteContext) => boolean): NodeRule =>
  (node, ctx) => {
    const ins = node.ins.map((v) => ctx.constant(v) ?? ctx.builder.constantOf(ctx.value(v)));
    if (ins.length === 0 || ins.some((t) => t === undefined)) return null;
    const tensors = ins.map((t) => t!);
    if (readsStorage(node, tensors[0]!.type) || !pays(node, ctx)) return null;
    const outs = evalNode(node, tensors, ctx.graph);
    return node.outs.map((v, i) =>
      ctx.builder.constant(withType(outs[i]!, ctx.typeOf(v)), ctx.graph.values.get(v)!.name),
    );
  };

const fold = evaluating(
  (node, ctx) => !isOp(node, hashedWeights) && !isOp(node, acdc) && worthStoring(node, ctx),
);

export const foldConstants = definePass({
  name: "fold-constants",
  doc: `Evaluates nodes whose inputs are all constants. Leaves the reading of compressed weights (casts
    from half precision, dequantize, hashed weights, stacks of ACDC layers) and results that would be much larger than
    their operands.`,
  run: (graph) => rewrite(graph, fold),
});
