/** @file What a graph costs, counted from its operators: docs/ir.md, "Cost". */
import { isFloat } from "../tensor/dtype.ts";
import { byteSize, elementCount } from "../tensor/tensor.ts";
import { expandComposites } from "./decompose.ts";
import { type Graph, type Node, typeOf, type Value } from "./graph.ts";

/** Multiply-accumulates of one node; 0 for composite operators. */
export const macsOfNode = (graph: Graph, node: Node): number => {
  const ins = node.ins.map((v) => typeOf(graph, v));
  const outs = node.outs.map((v) => typeOf(graph, v));
  return node.op.cost?.(ins, node.attrs, outs).macs ?? 0;
};

/**
 * Multiply-accumulates of one run, all rows of the batch. Those of weights that are made of constants alone, such as products
 * of factors, are done when a model is compiled and do not count.
 */
export function macsOf(graph: Graph): number {
  const core = expandComposites(graph);
  const known = new Set(core.constants.keys());
  let sum = 0;
  for (const node of core.nodes) {
    if (node.ins.every((v) => known.has(v))) for (const v of node.outs) known.add(v);
    else sum += macsOfNode(core, node);
  }
  return sum;
}

/** Bytes of all constants. */
export const constantBytes = (graph: Graph): number =>
  [...graph.constants.values()].reduce((sum, t) => sum + byteSize(t.type), 0);

/** Elements of constants that hold learned values: reals, quantised values, and operands of multiplying layers. */
export function elementsOfWeights(graph: Graph): number {
  const operands = new Set(graph.nodes.flatMap((n) => (n.op.cost === undefined ? [] : n.ins)));
  let sum = 0;
  for (const [v, { type }] of graph.constants) {
    const learned = type.quant !== undefined || isFloat(type.dtype) || operands.has(v);
    if (learned) sum += elementCount(type.shape);
  }
  return sum;
}

/**
 * Elements of constants that training changes, each counted once: weights, biases, scales and shifts. Running averages
 * are not among them.
 */
export function parameterCount(graph: Graph): number {
  const learned = new Set<Value>();
  for (const node of graph.nodes) {
    for (const position of node.op.parameters ?? []) {
      const v = node.ins[position];
      if (v !== undefined && graph.constants.has(v)) learned.add(v);
    }
  }
  let sum = 0;
  for (const v of learned) sum += elementCount(graph.constants.get(v)!.type.shape);
  return sum;
}
