/** @file Copies the nodes of a graph into one under construction. */
import { type Graph, GraphBuilder, type Node, type Value } from "../graph/graph.ts";
import type { TensorType } from "../tensor/tensor.ts";

export interface Inlined {
  readonly outs: readonly Value[];
  /** The nodes as they were added, in order. */
  readonly nodes: readonly Node[];
  /** What stands for a value of the graph. */
  readonly value: (v: Value) => Value;
}

/** Adds a node whose operands are in the graph under construction, made of `original`; gives its results first. */
export type ApplyNode = (node: Node, original: Node) => readonly Value[];

/** Adds `graph` to `g`, with `ins` in place of its inputs. `apply`: what is added for a node; default itself. */
export function inlineGraph(
  g: GraphBuilder,
  graph: Graph,
  ins: readonly Value[],
  apply: ApplyNode = (node) => g.applyAll(node.op, node.ins, node.attrs, node.name),
): Inlined {
  const map = new Map<Value, Value>();
  graph.inputs.forEach((v, i) => {
    map.set(v, ins[i]!);
  });
  const value = (v: Value): Value => {
    let to = map.get(v);
    if (to === undefined) {
      to = g.constant(graph.constants.get(v)!, graph.values.get(v)!.name);
      map.set(v, to);
    }
    return to;
  };
  const nodes = graph.nodes.map((node): Node => {
    const from = node.ins.map(value);
    const outs = apply({ ...node, ins: from }, node);
    node.outs.forEach((v, i) => {
      map.set(v, outs[i]!);
      g.setName(outs[i]!, graph.values.get(v)!.name);
    });
    return { ...node, ins: from, outs };
  });
  return { outs: graph.outputs.map(value), nodes, value };
}

/** Inputs of `g` with the names and types of those of `graph`. */
export const sameInputs = (g: GraphBuilder, graph: Graph): readonly Value[] =>
  graph.inputs.map((v) => {
    const { name, type } = graph.values.get(v)!;
    return g.input(name, type);
  });

/** The graph that `build` makes of inputs of these types. */
export function graphOf(
  name: string,
  types: readonly TensorType[],
  build: (g: GraphBuilder, ins: readonly Value[]) => readonly Value[],
): Graph {
  const g = new GraphBuilder(name);
  const ins = types.map((t, i) => g.input(`in${i}`, t));
  for (const v of build(g, ins)) g.output(v);
  return g.build();
}
