/** @file Writes out what the quantised class "float" means. */

import type { Node } from "../graph/graph.ts";
import type { Attrs, OutQuant } from "../graph/op.ts";
import { type NodeRule, type RewriteContext, rewrite } from "../graph/rewrite.ts";
import { assumeQuant } from "../ops/quant/assume-quant.ts";
import { dequantize } from "../ops/quant/dequantize.ts";
import { quantize } from "../ops/quant/quantize.ts";
import { requantize } from "../ops/quant/requantize.ts";
import { stripQuant } from "../ops/quant/strip-quant.ts";
import { sameQuant } from "../tensor/tensor.ts";
import { definePass } from "./pass.ts";

/** The op on the integers themselves, where it only moves them; null: it does not. */
function moved(node: Node, attrs: Attrs, out: OutQuant | undefined, ctx: RewriteContext) {
  const { builder } = ctx;
  const x = ctx.typeOf(node.ins[0]!);
  if (node.op.moves?.(attrs) !== true || node.ins.length !== 1 || node.outs.length !== 1)
    return null;
  if (out === undefined || x.quant === undefined || x.quant.axis !== null) return null;
  const same = x.dtype === out.dtype && sameQuant(x.quant, out);
  const source = ctx.value(node.ins[0]!);
  const q = same ? source : builder.apply(requantize, [source], { out }, node.name);
  const plain = builder.apply(stripQuant, [q], {}, node.name);
  const y = builder.applyAll(node.op, [plain], attrs, node.name);
  return [builder.apply(assumeQuant, [y[0]!], { out }, node.name)];
}

const legalize: NodeRule = (node, ctx) => {
  if (node.op.quant !== "float") return null;
  const { out, ...attrs } = node.attrs as { readonly out?: OutQuant };
  const quantised = node.ins.some((v) => ctx.typeOf(v).quant !== undefined);
  if (!quantised && out === undefined) return null;
  const integers = moved(node, attrs, out, ctx);
  if (integers !== null) return integers;
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
    on f32, quantize; where they only move elements, the operator on the integers.`,
  run: (graph) => rewrite(graph, legalize),
});
