/** @file Common-subexpression elimination. */
import type { Graph, Node, Value } from "../graph/graph.ts";
import type { AttrValue } from "../graph/op.ts";
import { constantKey, printAttr, printType } from "../graph/print.ts";
import { rewrite } from "../graph/rewrite.ts";
import { bytesOf, type Tensor } from "../tensor/tensor.ts";
import { definePass } from "./pass.ts";

const sameBytes = (a: Tensor, b: Tensor): boolean => {
  const [x, y] = [bytesOf(a), bytesOf(b)];
  return x.length === y.length && x.every((byte, i) => byte === y[i]);
};

/** Keys of content, kept because passes ask again and again about the same large tensors. */
const keys = new WeakMap<Tensor, string>();

function keyOf(t: Tensor): string {
  const known = keys.get(t) ?? constantKey(t);
  keys.set(t, known);
  return known;
}

/** For each constant the first one with the same type and content. */
function firstEqualConstants(graph: Graph): Map<Value, Value> {
  const byType = new Map<string, [Value, Tensor][]>();
  for (const [v, t] of graph.constants) {
    const type = printType(t.type);
    byType.set(type, [...(byType.get(type) ?? []), [v, t]]);
  }
  const first = new Map<Value, Value>();
  for (const alike of byType.values()) {
    if (alike.length < 2) continue;
    const byKey = new Map<string, Value>();
    for (const [v, t] of alike) {
      const known = byKey.get(keyOf(t));
      if (known !== undefined && sameBytes(graph.constants.get(known)!, t)) first.set(v, known);
      else byKey.set(keyOf(t), v);
    }
  }
  return first;
}

function sortedAttrs(attrs: object): string {
  const fields = Object.entries(attrs as Readonly<Record<string, AttrValue>>);
  const present = fields.filter(([, value]) => value !== undefined);
  return printAttr(Object.fromEntries(present.sort(([a], [b]) => (a < b ? -1 : 1))));
}

function mergeNodes(graph: Graph): Graph {
  const constants = firstEqualConstants(graph);
  const seen = new Map<string, readonly Value[]>();
  return rewrite(graph, (node: Node, ctx) => {
    const ins = node.ins.map((v) => ctx.value(constants.get(v) ?? v));
    const key = `${node.op.name}(${ins})${sortedAttrs(node.attrs)}`;
    const known = seen.get(key);
    if (known !== undefined) return known;
    const outs = ctx.builder.applyAll(node.op, ins, node.attrs, node.name);
    node.outs.forEach((v, i) => ctx.builder.setName(outs[i]!, ctx.graph.values.get(v)!.name));
    seen.set(key, outs);
    return outs;
  });
}

export const mergeEqual = definePass({
  name: "merge-equal",
  doc: "Keeps one of several nodes with the same operator, operands and attributes; likewise constants.",
  run(graph) {
    const next = mergeNodes(graph);
    const shrunk =
      next.nodes.length < graph.nodes.length || next.constants.size < graph.constants.size;
    return shrunk ? next : graph;
  },
});
