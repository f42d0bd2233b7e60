/** @file Rebuilding a graph node by node: the one way passes change graphs. */
import type { Tensor, TensorType } from "../tensor/tensor.ts";
import { type Graph, GraphBuilder, type Node, typeOf, type Value } from "./graph.ts";

/** What a rule sees while the new graph grows. Values of rules' results belong to the new graph. */
export interface RewriteContext {
  readonly graph: Graph;
  readonly builder: GraphBuilder;
  /** The new value standing for an old one. */
  value(old: Value): Value;
  /** Nodes of the old graph that read an old value. */
  users(old: Value): readonly Node[];
  /** How often an old value is read, graph outputs included. */
  useCount(old: Value): number;
  /** The old node producing an old value; undefined for inputs and constants. */
  producer(old: Value): Node | undefined;
  constant(old: Value): Tensor | undefined;
  typeOf(old: Value): TensorType;
}

/** New values for the node's results, or null to keep the node as it is. */
export type NodeRule = (node: Node, ctx: RewriteContext) => readonly Value[] | null;

/** Use information of a graph. */
export interface Uses {
  users(v: Value): readonly Node[];
  useCount(v: Value): number;
  producer(v: Value): Node | undefined;
}

export function usesOf(graph: Graph): Uses {
  const users = new Map<Value, Node[]>();
  const count = new Map<Value, number>();
  const producer = new Map<Value, Node>();
  const bump = (v: Value): void => void count.set(v, (count.get(v) ?? 0) + 1);
  for (const node of graph.nodes) {
    for (const v of node.outs) producer.set(v, node);
    for (const v of node.ins) bump(v);
    for (const v of new Set(node.ins)) users.set(v, [...(users.get(v) ?? []), node]);
  }
  graph.outputs.forEach(bump);
  return {
    users: (v) => users.get(v) ?? [],
    useCount: (v) => count.get(v) ?? 0,
    producer: (v) => producer.get(v),
  };
}

/**
 * Walks the nodes in order and asks `rule` about each. Unused nodes and constants are dropped from a
 * changed graph; a graph in which no rule fired is returned as the same object.
 */
export function rewrite(graph: Graph, rule: NodeRule): Graph {
  const uses = usesOf(graph);
  const builder = new GraphBuilder(graph.name);
  Object.assign(builder.meta, graph.meta);
  const map = new Map<Value, Value>();
  for (const v of graph.inputs) {
    const info = graph.values.get(v)!;
    map.set(v, builder.input(info.name, info.type));
  }
  const value = (old: Value): Value => {
    const known = map.get(old);
    if (known !== undefined) return known;
    const fresh = builder.constant(graph.constants.get(old)!, graph.values.get(old)!.name);
    map.set(old, fresh);
    return fresh;
  };
  const ctx: RewriteContext = {
    graph,
    builder,
    value,
    ...uses,
    constant: (v) => graph.constants.get(v),
    typeOf: (v) => typeOf(graph, v),
  };
  let changed = false;
  for (const node of graph.nodes) {
    const replaced = rule(node, ctx);
    if (replaced !== null) changed = true;
    const outs = replaced ?? builder.applyAll(node.op, node.ins.map(value), node.attrs, node.name);
    node.outs.forEach((v, i) => {
      const to = outs[i]!;
      map.set(v, to);
      if (replaced === null) builder.setName(to, graph.values.get(v)!.name);
    });
  }
  if (!changed) return graph;
  graph.outputs.forEach((v, i) => builder.output(value(v), graph.outputNames[i]!));
  return eliminateDead(builder.build());
}

/** Drops nodes whose results nobody reads, and constants nobody reads. Same object when there are none. */
export function eliminateDead(graph: Graph): Graph {
  const live = new Set<Value>(graph.outputs);
  const nodes: Node[] = [];
  for (let i = graph.nodes.length - 1; i >= 0; i--) {
    const node = graph.nodes[i]!;
    if (!node.outs.some((v) => live.has(v))) continue;
    for (const v of node.ins) live.add(v);
    nodes.push(node);
  }
  for (const v of graph.inputs) live.add(v);
  for (const n of nodes) for (const v of n.outs) live.add(v);
  const constants = new Map([...graph.constants].filter(([v]) => live.has(v)));
  if (nodes.length === graph.nodes.length && constants.size === graph.constants.size) return graph;
  const values = new Map([...graph.values].filter(([v]) => live.has(v)));
  return { ...graph, nodes: nodes.reverse(), constants, values };
}
