/** @file Writes out what the quantised class "float" means. */

import type { OutQuant } from "../graph/op.ts";
import { type NodeRule, rewrite } from "../graph/rewrite.ts";
import { dequantize } from "../ops/quant/dequantize.ts";
import { quantize } from "../ops/quant/quantize.ts";
import { definePass } from "./pass.ts";

const legalize: NodeRule = (node, ctx) => {
  if (node.op.quant !== "float") return null;
  const { out, ...attrs } = node.attrs as { readonly out?: OutQuant };
  const quantised = node.ins.some((v) => ctx.typeOf(v).quant !== undefined);
  if (!quantised && out === undefined) return null;
  const { builder } = ctx;
  const ins = node.ins.map((v) =>
    ctx.typeOf(v).quant === undefined
      ? ctx.value(v)
      : builder.apply(dequantize, [ctx.value(v)], {}, node.name),
  );
  const outs = builder.applyAll(node.op, ins, attrs, node.name);
  if (out === undefined) return outs;
  return outs.map((v) => builder.apply(quantize, [v], { out }, node.name));
};

export const legalizeQuant = definePass({
  name: "legalize-quant",
  doc: `Operators defined through reals (class "float") on quantised values become dequantize, the operator
    on f32, quantize.`,
  run: (graph) => rewrite(graph, legalize),
});
