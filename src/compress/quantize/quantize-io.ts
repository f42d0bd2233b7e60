/** @file Lets a quantised model take and give integers: no float code at its borders. */
import {
  type Graph,
  GraphBuilder,
  isOp,
  type Node,
  typeOf,
  type Value,
} from "../../graph/graph.ts";
import { eliminateDead, usesOf } from "../../graph/rewrite.ts";
import { dequantize } from "../../ops/quant/dequantize.ts";
import { quantize } from "../../ops/quant/quantize.ts";
import { sameType } from "../../tensor/tensor.ts";

/** The type all readers of an input quantise it to; null when one reads it otherwise. */
function quantisedInput(g: Graph, v: Value, readers: readonly Node[]): Value | null {
  const [first] = readers;
  if (first === undefined || g.outputs.includes(v)) return null;
  const want = typeOf(g, first.outs[0]!);
  const alike = readers.every(
    (node) => isOp(node, quantize) && sameType(typeOf(g, node.outs[0]!), want),
  );
  return alike ? first.outs[0]! : null;
}

/**
 * Inputs that are only quantised become quantised inputs, outputs that are only dequantised become
 * quantised outputs. Names and order stay.
 */
export function quantizeIo(graph: Graph): Graph {
  const uses = usesOf(graph);
  const b = new GraphBuilder(graph.name);
  Object.assign(b.meta, graph.meta);
  const map = new Map<Value, Value>();
  const direct = new Set<Node>();
  for (const v of graph.inputs) {
    const { name, type } = graph.values.get(v)!;
    const integers = quantisedInput(graph, v, uses.users(v));
    const input = b.input(name, integers === null ? type : typeOf(graph, integers));
    map.set(v, input);
    if (integers === null) continue;
    for (const node of uses.users(v)) {
      direct.add(node);
      map.set(node.outs[0]!, input);
    }
  }
  for (const [v, t] of graph.constants) map.set(v, b.constant(t, graph.values.get(v)!.name));
  for (const node of graph.nodes) {
    if (direct.has(node)) continue;
    const ins = node.ins.map((v) => map.get(v)!);
    const outs = b.applyAll(node.op, ins, node.attrs, node.name);
    node.outs.forEach((v, i) => {
      map.set(v, outs[i]!);
      b.setName(outs[i]!, graph.values.get(v)!.name);
    });
  }
  graph.outputs.forEach((v, i) => {
    const node = uses.producer(v);
    const source = node !== undefined && isOp(node, dequantize) ? node.ins[0]! : v;
    b.output(map.get(source)!, graph.outputNames[i]!);
  });
  return eliminateDead(b.build());
}
