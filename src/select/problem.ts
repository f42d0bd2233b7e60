/**
 * @file Selection as a PBQP. A node of the network takes one of its candidates. A value that can be produced or
 * wanted in several layouts is a node as well, whose choices are the sets of layouts it is made available in:
 * with its producer it costs the cheapest conversions, once for all consumers; a consumer forbids the sets that
 * lack the layout it reads. Graph inputs and outputs are plain.
 */
import type { Value } from "../graph/graph.ts";
import type { Candidate } from "../primitives/primitive.ts";
import { LAYOUTS, type Layout } from "../tensor/layout.ts";
import type { CostModel } from "./costs.ts";
import { contains, type LayoutSet, type Provision, provisions, setOf } from "./layouts.ts";
import {
  type Conversion,
  inputLayout,
  type Network,
  type NetworkNode,
  outputLayout,
  type Selection,
} from "./network.ts";
import type { Pbqp, PbqpEdge } from "./pbqp/problem.ts";

/** The cost of a candidate in the objective; Infinity forbids it. */
export type Price = (node: NetworkNode, candidate: Candidate, index: number) => number;

export interface SelectionProblem {
  readonly pbqp: Pbqp;
  /** The selection that choices of the PBQP stand for. */
  decode(choices: readonly number[]): Selection;
}

/** A result of a node, or an input of the graph. */
interface Source {
  readonly node: number;
  readonly output: number;
}

interface Consumer {
  readonly node: number;
  readonly input: number;
}

/** A value that has a node of its own in the PBQP. */
interface Transfer {
  readonly value: Value;
  readonly source: Source | null;
  readonly consumers: readonly Consumer[];
  readonly isOutput: boolean;
  /** Its choices. */
  readonly sets: readonly LayoutSet[];
  /** Cost and steps to every set, by produced layout. */
  readonly provide: (produced: Layout) => readonly Provision[];
}

const INFINITY = Number.POSITIVE_INFINITY;
/** Added to every conversion: of equally fast selections, the one of fewer conversions. */
const TIE_NS = 2 ** -10;

const setOfAll = (layouts: Iterable<Layout>): LayoutSet => setOf(LAYOUTS, layouts);

/** Values of the network, each with who makes it and who reads it. */
function valuesOf({ graph, nodes, isConstant }: Network) {
  const sources = new Map<Value, Source | null>(graph.inputs.map((v) => [v, null]));
  const consumers = new Map<Value, Consumer[]>();
  nodes.forEach(({ node }, i) => {
    node.ins.forEach((v, input) => {
      if (isConstant(v)) return;
      const list = consumers.get(v) ?? [];
      consumers.set(v, [...list, { node: i, input }]);
    });
    node.outs.forEach((v, output) => {
      sources.set(v, { node: i, output });
    });
  });
  return { sources, consumers };
}

/** The conversion of a value by its cheapest candidate. */
function cheapest(network: Network, costs: CostModel, v: Value, from: Layout, to: Layout) {
  const node = network.conversions(v, from, to);
  const times = node.candidates.map((c) => costs.estimate(node, c).ns);
  const ns = Math.min(...times);
  return { ns, candidate: times.indexOf(ns) };
}

function transfersOf(network: Network, costs: CostModel): Transfer[] {
  const { sources, consumers } = valuesOf(network);
  const outputs = new Set(network.graph.outputs);
  const found: Transfer[] = [];
  for (const [value, source] of sources) {
    const readers = consumers.get(value) ?? [];
    const isOutput = outputs.has(value);
    const wanted = new Set<Layout>(isOutput ? ["plain"] : []);
    for (const { node, input } of readers) {
      for (const c of network.nodes[node]!.candidates) wanted.add(inputLayout(c, input));
    }
    const produced = new Set<Layout>(
      source === null
        ? ["plain"]
        : network.nodes[source.node]!.candidates.map((c) => outputLayout(c, source.output)),
    );
    if (wanted.size === 0 || new Set([...wanted, ...produced]).size === 1) continue;
    const sets = subsets(setOfAll(wanted)).filter(
      (set) => !isOutput || contains(LAYOUTS, set, "plain"),
    );
    const known = new Map<Layout, readonly Provision[]>();
    const cost = (from: Layout, to: Layout): number =>
      TIE_NS + cheapest(network, costs, value, from, to).ns;
    const provide = (layout: Layout): readonly Provision[] => {
      const ready = known.get(layout) ?? provisions(LAYOUTS, layout, memoised(cost));
      known.set(layout, ready);
      return ready;
    };
    found.push({ value, source, consumers: readers, isOutput, sets, provide });
  }
  return found;
}

function memoised(cost: (from: Layout, to: Layout) => number) {
  const known = new Map<string, number>();
  return (from: Layout, to: Layout): number => {
    const key = `${from}>${to}`;
    const value = known.get(key) ?? cost(from, to);
    known.set(key, value);
    return value;
  };
}

/** The non-empty subsets of a set, smaller numbers first. */
const subsets = (set: LayoutSet): LayoutSet[] =>
  Array.from({ length: set }, (_, i) => i + 1).filter((s) => (s & ~set) === 0);

const provisionTo = (t: Transfer, produced: Layout, set: LayoutSet): Provision =>
  t.provide(produced)[set | setOfAll([produced])]!;

/** Costs between candidates of the producer and sets of layouts. */
function producerEdge(network: Network, t: Transfer, { node, output }: Source, b: number) {
  const { candidates } = network.nodes[node]!;
  const costs = candidates.flatMap((c) =>
    t.sets.map((set) => provisionTo(t, outputLayout(c, output), set).cost),
  );
  return { a: node, b, costs: Float64Array.from(costs) };
}

function consumerEdge(network: Network, t: Transfer, { node, input }: Consumer, a: number) {
  const { candidates } = network.nodes[node]!;
  const costs = t.sets.flatMap((set) =>
    candidates.map((c) => (contains(LAYOUTS, set, inputLayout(c, input)) ? 0 : INFINITY)),
  );
  return { a, b: node, costs: Float64Array.from(costs) };
}

/** States the choice of candidates and conversions for a network. */
export function selectionProblem(
  network: Network,
  costs: CostModel,
  price: Price,
): SelectionProblem {
  const nodes = network.nodes.map((node) =>
    Float64Array.from(node.candidates, (c, i) => price(node, c, i)),
  );
  const edges: PbqpEdge[] = [];
  const transfers = transfersOf(network, costs);
  for (const t of transfers) {
    const own = t.sets.map((set) => (t.source === null ? provisionTo(t, "plain", set).cost : 0));
    const at = nodes.push(Float64Array.from(own)) - 1;
    if (t.source !== null) edges.push(producerEdge(network, t, t.source, at));
    for (const consumer of t.consumers) edges.push(consumerEdge(network, t, consumer, at));
  }
  return {
    pbqp: { nodes, edges },
    decode: (all) => {
      const choices = all.slice(0, network.nodes.length);
      const conversions = [
        ...conversionsFor(network, costs, transfers, choices),
        ...constantConversions(network, choices),
      ];
      return { choices, conversions };
    },
  };
}

/** The conversions that given candidates need. */
function conversionsFor(
  network: Network,
  costs: CostModel,
  transfers: readonly Transfer[],
  choices: readonly number[],
): Conversion[] {
  const chosen = (node: number): Candidate => network.nodes[node]!.candidates[choices[node]!]!;
  return transfers.flatMap((t) => {
    const wanted = t.consumers.map(({ node, input }) => inputLayout(chosen(node), input));
    if (t.isOutput) wanted.push("plain");
    if (wanted.length === 0) return [];
    const produced =
      t.source === null ? "plain" : outputLayout(chosen(t.source.node), t.source.output);
    const { steps } = provisionTo(t, produced, setOfAll(wanted));
    return steps.map(({ from, to }) => {
      const { candidate } = cheapest(network, costs, t.value, from, to);
      return { value: t.value, from, to, candidate };
    });
  });
}

/** Constants in other layouts are converted when compiled and cost nothing. */
function constantConversions(network: Network, choices: readonly number[]): Conversion[] {
  const found = new Map<string, Conversion>();
  network.nodes.forEach(({ node, candidates }, n) => {
    node.ins.forEach((value, i) => {
      const to = inputLayout(candidates[choices[n]!]!, i);
      if (to === "plain" || !network.isConstant(value)) return;
      found.set(`${value}:${to}`, { value, from: "plain", to, candidate: 0 });
    });
  });
  return [...found.values()];
}
