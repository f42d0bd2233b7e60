/** @file Merges chains of reshapes, and turns transposes that move no element into reshapes. */
import { isOp } from "../graph/graph.ts";
import { type NodeRule, rewrite } from "../graph/rewrite.ts";
import { reshape } from "../ops/shape/reshape.ts";
import { transpose } from "../ops/shape/transpose.ts";
import { definePass, repeat } from "./pass.ts";
import { keepsOrder } from "./transposed.ts";

const merge: NodeRule = (node, ctx) => {
  const [v] = node.ins;
  if (isOp(node, transpose)) {
    if (!keepsOrder(ctx.typeOf(v!).shape, node.attrs.perm)) return null;
    const { shape } = ctx.typeOf(node.outs[0]!);
    return [ctx.builder.apply(reshape, [ctx.value(v!)], { shape }, node.name)];
  }
  if (!isOp(node, reshape)) return null;
  const source = ctx.producer(v!);
  if (source === undefined || !isOp(source, reshape)) return null;
  return [ctx.builder.apply(reshape, [ctx.value(source.ins[0]!)], node.attrs, node.name)];
};

export const mergeReshapes = definePass({
  name: "merge-reshapes",
  doc: "Merges reshapes of reshapes into one; transposes that only move axes of extent 1 become reshapes.",
  run: (graph) => repeat(graph, (g) => rewrite(g, merge)),
});
