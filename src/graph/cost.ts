/** @file What a whole graph costs. */
import { byteSize } from "../tensor/tensor.ts";
import { expandComposites } from "./decompose.ts";
import { type Graph, type Node, typeOf } from "./graph.ts";

/** Multiply-accumulates of one node; 0 for composite operators. */
export const macsOfNode = (graph: Graph, node: Node): number => {
  const ins = node.ins.map((v) => typeOf(graph, v));
  const outs = node.outs.map((v) => typeOf(graph, v));
  return node.op.cost?.(ins, node.attrs, outs).macs ?? 0;
};

/** Multiply-accumulates of one inference. */
export function macsOf(graph: Graph): number {
  const core = expandComposites(graph);
  return core.nodes.reduce((sum, node) => sum + macsOfNode(core, node), 0);
}

/** Bytes of all constants. */
export const constantBytes = (graph: Graph): number =>
  [...graph.constants.values()].reduce((sum, t) => sum + byteSize(t.type), 0);
