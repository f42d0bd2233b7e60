/** @file Adds a residual where the convolution it is added to stores its result. */
import { isOp, type Node, type Value } from "../graph/graph.ts";
import { type NodeRule, type RewriteContext, rewrite } from "../graph/rewrite.ts";
import { add } from "../ops/elementwise/add.ts";
import { sameType, tensorType, zeros } from "../tensor/tensor.ts";
import { definePass } from "./pass.ts";
import { attrOf } from "./rules.ts";

/** The producer of `v` if it can take a residual: it alone is read here and is neither activated nor quantised. */
function receiver(v: Value, ctx: RewriteContext): Node | null {
  const node = ctx.producer(v);
  if (node?.op.fuses?.residual !== true || ctx.useCount(v) !== 1) return null;
  if (attrOf(node, "act") !== undefined || node.ins.length > 3) return null;
  return ctx.typeOf(v).quant === undefined ? node : null;
}

function biased(node: Node, ctx: RewriteContext): Value[] {
  const ins = node.ins.map(ctx.value);
  if (ins.length === 3) return ins;
  const w = ctx.typeOf(node.ins[1]!);
  return [...ins, ctx.builder.constant(zeros(tensorType(w.dtype, [w.shape[0]!])))];
}

const fuse: NodeRule = (node, ctx) => {
  if (!isOp(node, add)) return null;
  const out = ctx.typeOf(node.outs[0]!);
  if (!node.ins.every((v) => sameType(ctx.typeOf(v), out))) return null;
  const [a, b] = node.ins as readonly [Value, Value];
  for (const [v, residual] of [
    [b, a],
    [a, b],
  ] as const) {
    const conv = receiver(v, ctx);
    if (conv === null) continue;
    const ins = [...biased(conv, ctx), ctx.value(residual)];
    return ctx.builder.applyAll(conv.op, ins, conv.attrs, conv.name);
  }
  return null;
};

export const fuseResidual = definePass({
  name: "fuse-residual",
  doc: "The sum of a convolution's result and a value of the same shape is computed by the convolution. Float only.",
  run: (graph) => rewrite(graph, fuse),
});
