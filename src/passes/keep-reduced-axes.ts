/** @file Lets reductions keep their axes, so that they can move to another layout; a view drops the axes. */
import { type NodeRule, rewrite } from "../graph/rewrite.ts";
import { reshape } from "../ops/shape/reshape.ts";
import { definePass } from "./pass.ts";
import { attrOf } from "./rules.ts";

const keep: NodeRule = (node, ctx) => {
  if (attrOf(node, "keepDims") !== false || node.op.permute === undefined) return null;
  // On quantised values an operator may compute differently when axes are kept.
  if (ctx.typeOf(node.ins[0]!).quant !== undefined) return null;
  const attrs = { ...node.attrs, keepDims: true };
  const kept = ctx.builder.applyAll(node.op, node.ins.map(ctx.value), attrs, node.name);
  return kept.map((v, i) => {
    const { shape } = ctx.typeOf(node.outs[i]!);
    return ctx.builder.apply(reshape, [v], { shape }, node.name);
  });
};

export const keepReducedAxes = definePass({
  name: "keep-reduced-axes",
  doc: "Float reductions keep their axes with extent 1; a reshape behind them drops these.",
  run: (graph) => rewrite(graph, keep),
});
