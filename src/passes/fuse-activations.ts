/** @file Computes an activation where the value it acts on is produced. */
import type { Node } from "../graph/graph.ts";
import type { Activation, OutQuant } from "../graph/op.ts";
import { type NodeRule, rewrite } from "../graph/rewrite.ts";
import { SCALARS } from "../ops/scalar.ts";
import { sameQuant } from "../tensor/tensor.ts";
import { definePass } from "./pass.ts";
import { attrOf, tryInfer } from "./rules.ts";

/** The node's scalar function as an activation: its attributes without the quantised result type. */
function activationOf(node: Node): Activation | null {
  const fn = node.op.scalar;
  if (fn === undefined || SCALARS[fn] === undefined) return null;
  const { out: _, ...parameters } = node.attrs as { readonly out?: OutQuant };
  return { fn, ...parameters };
}

const fuse: NodeRule = (node, ctx) => {
  const act = activationOf(node);
  const producer = ctx.producer(node.ins[0]!);
  if (act === null || producer?.op.fuses?.act !== true || ctx.useCount(node.ins[0]!) !== 1)
    return null;
  if (attrOf(producer, "act") !== undefined) return null;
  const [from, to] = [ctx.typeOf(node.ins[0]!), ctx.typeOf(node.outs[0]!)];
  if (from.dtype !== to.dtype || !sameQuant(from.quant, to.quant)) return null;
  if (from.quant !== undefined && SCALARS[act.fn]!.bounds === undefined) return null;
  const attrs = { ...producer.attrs, act };
  const types = producer.ins.map((v) => ctx.typeOf(v));
  if (tryInfer(producer.op, types, attrs) === null) return null;
  return ctx.builder.applyAll(producer.op, producer.ins.map(ctx.value), attrs, producer.name);
};

export const fuseActivations = definePass({
  name: "fuse-activations",
  doc: `An element-wise function that alone reads the result of an operator able to apply it is fused. On
    quantised values only clamps with the same scale and zero point are.`,
  run: (graph) => rewrite(graph, fuse),
});
