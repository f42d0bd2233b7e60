/**
 * @file A selection carried out: the graph on the values as they lie in memory, conversions put in as nodes,
 * and for every node that runs the candidate that computes it.
 */
import { type Graph, type Node, typeOf, type Value, type ValueInfo } from "../graph/graph.ts";
import type { Candidate } from "../primitives/primitive.ts";
import { type Layout, physicalType } from "../tensor/layout.ts";
import { invariant } from "../util/errors.ts";
import {
  type Conversion,
  inputLayout,
  type Network,
  type NetworkNode,
  outputLayout,
  type Selection,
} from "./network.ts";

/** A node and what computes it, in order of execution. */
export interface ChosenNode {
  readonly node: Node;
  readonly candidate: Candidate;
  /** The node as it was when it was chosen for; for a conversion, the conversion. */
  readonly choice: NetworkNode;
}

export interface ChosenNetwork {
  /** The types of its values are those of the memory. */
  readonly graph: Graph;
  readonly nodes: readonly ChosenNode[];
}

/** The values of the network by layout, and the nodes made on the way. */
class Placement {
  private readonly network: Network;
  private readonly values: Map<Value, ValueInfo>;
  private readonly places = new Map<string, Value>();
  private readonly pending: Map<string, Conversion>;
  private next: number;
  /** What runs. */
  readonly chosen: ChosenNode[] = [];
  /** Conversions of constants, which are evaluated when compiled. */
  readonly folded: Node[] = [];

  constructor(network: Network, conversions: readonly Conversion[]) {
    this.network = network;
    this.values = new Map(network.graph.values);
    this.next = Math.max(-1, ...network.graph.values.keys()) + 1;
    this.pending = new Map(conversions.map((c) => [`${c.value}:${c.to}`, c]));
  }

  /** Says in which layout a node leaves a value. */
  produce(v: Value, layout: Layout): void {
    this.places.set(`${v}:${layout}`, v);
    const info = this.values.get(v)!;
    this.values.set(v, { ...info, type: physicalType(info.type, layout) });
  }

  /** The value in the layout, converted when it is not there yet. */
  at(v: Value, layout: Layout): Value {
    const known = this.places.get(`${v}:${layout}`);
    if (known !== undefined) return known;
    const conversion = this.pending.get(`${v}:${layout}`);
    invariant(conversion !== undefined, () => `value %${v} is never brought into ${layout}`);
    const { from, to } = conversion;
    const source = this.at(v, from);
    const out = this.next++ as Value;
    const name = this.values.get(v)!.name;
    const type = physicalType(typeOf(this.network.graph, v), to);
    this.values.set(out, { type, name: "" });
    this.places.set(`${v}:${to}`, out);
    const choice = this.network.conversions(v, from, to);
    const label = name && `${name} as ${to}`;
    const node: Node = { ...choice.node, ins: [source], outs: [out], name: label };
    const candidate = choice.candidates[conversion.candidate]!;
    if (this.network.isConstant(v)) this.folded.push(node);
    else this.chosen.push({ node, candidate, choice });
    return out;
  }

  graph(outputs: readonly Value[]): Graph {
    const { graph, nodes } = this.network;
    const running = new Set(nodes.map((n) => n.node));
    const before = graph.nodes.filter((n) => !running.has(n));
    return {
      ...graph,
      outputs,
      values: this.values,
      nodes: [...before, ...this.folded, ...this.chosen.map((c) => c.node)],
    };
  }
}

/** Carries out a selection. */
export function applySelection(network: Network, selection: Selection): ChosenNetwork {
  const { graph, nodes } = network;
  const place = new Placement(network, selection.conversions);
  const known = [...graph.inputs, ...[...graph.values.keys()].filter((v) => network.isConstant(v))];
  for (const v of known) place.produce(v, "plain");
  nodes.forEach((choice, n) => {
    const { node } = choice;
    const candidate = choice.candidates[selection.choices[n]!]!;
    const ins = node.ins.map((v, i) => place.at(v, inputLayout(candidate, i)));
    node.outs.forEach((v, i) => place.produce(v, outputLayout(candidate, i)));
    place.chosen.push({ node: { ...node, ins }, candidate, choice });
  });
  const outputs = graph.outputs.map((v) => place.at(v, "plain"));
  return { graph: place.graph(outputs), nodes: place.chosen };
}
