/** @file Makes one table of two that are looked up one after the other. */
import { isOp, type Node } from "../graph/graph.ts";
import { type NodeRule, type RewriteContext, rewrite } from "../graph/rewrite.ts";
import { type LutAttrs, lut } from "../ops/quant/lut.ts";
import { type Tensor, zeros } from "../tensor/tensor.ts";
import { definePass, repeat } from "./pass.ts";

/** The table of a look-up, if it is known. */
const tableOf = (node: Node, ctx: RewriteContext): Tensor | undefined =>
  isOp(node, lut) ? ctx.constant(node.ins[1]!) : undefined;

const merge: NodeRule = (node, ctx) => {
  const second = tableOf(node, ctx);
  const producer = ctx.producer(node.ins[0]!);
  if (second === undefined || producer === undefined || ctx.useCount(node.ins[0]!) !== 1)
    return null;
  const first = tableOf(producer, ctx);
  if (first === undefined) return null;
  const offset = first.type.dtype === "i8" ? 128 : 0;
  const table = zeros(second.type);
  for (let i = 0; i < 256; i++) table.data[i] = second.data[Number(first.data[i]) + offset]!;
  const ins = [ctx.value(producer.ins[0]!), ctx.builder.constant(table)];
  return [ctx.builder.apply(lut, ins, node.attrs as LutAttrs, node.name)];
};

export const mergeLuts = definePass({
  name: "merge-luts",
  doc: `A table look-up that alone reads the result of another becomes one with the composed table.`,
  run: (graph) => repeat(graph, (g) => rewrite(g, merge)),
});
