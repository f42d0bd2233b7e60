/** @file Selection on random networks with invented candidates, against trying every combination. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Graph, GraphBuilder, type Value } from "../graph/graph.ts";
import { add } from "../ops/elementwise/add.ts";
import { relu } from "../ops/elementwise/relu.ts";
import type { Candidate } from "../primitives/primitive.ts";
import { LAYOUTS, type Layout } from "../tensor/layout.ts";
import { tensorType } from "../tensor/tensor.ts";
import type { UserError } from "../util/errors.ts";
import { makeRng, type Rng } from "../util/rng.ts";
import type { CostModel } from "./costs.ts";
import { provisions, setOf } from "./layouts.ts";
import { inputLayout, type Network, type NetworkNode, outputLayout } from "./network.ts";
import { applySelection } from "./schedule.ts";
import { predictedNs, selectOptimal } from "./select.ts";

const TYPE = tensorType("f32", [1, 4, 4, 8]);

/** A chain of relu and add with skips; two outputs. */
function randomGraph(rng: Rng, nodes: number): Graph {
  const g = new GraphBuilder("random");
  const values: Value[] = [g.input("x", TYPE)];
  for (let i = 0; i < nodes; i++) {
    const last = values.at(-1)!;
    const other = values[rng.int(values.length)]!;
    values.push(
      rng.next() < 0.5
        ? g.apply(relu, [last], {}, `r${i}`)
        : g.apply(add, [last, other], {}, `a${i}`),
    );
  }
  g.output(values.at(-1)!, "y");
  g.output(values[rng.int(values.length)]!, "z");
  return g.build();
}

/** Candidates by name, with their costs. */
function randomNetwork(rng: Rng, graph: Graph): { network: Network; costs: CostModel } {
  const ns = new Map<string, number>();
  const layout = (): Layout => LAYOUTS[rng.int(LAYOUTS.length)]!;
  const candidate = (name: string, ins: Layout[], outs: Layout[]): Candidate => {
    ns.set(name, 1 + rng.int(100));
    const implement = () => ({ inPlace: false, steps: [] });
    return { name, family: "test", ins, outs, work: { macs: 0, bytes: 0 }, implement };
  };
  const nodes = graph.nodes.map((node, n): NetworkNode => {
    const candidates = Array.from({ length: 1 + rng.int(3) }, (_, c) =>
      candidate(`n${n}c${c}`, node.ins.map(layout), node.outs.map(layout)),
    );
    return { node, ins: [TYPE], outs: [TYPE], candidates, signature: `n${n}` };
  });
  const moves = new Map<string, NetworkNode>();
  for (const from of LAYOUTS) {
    for (const to of LAYOUTS) {
      if (from === to) continue;
      const name = `${from}>${to}`;
      const candidates = [candidate(`${name} slow`, [], []), candidate(name, [], [])];
      const node = { ...graph.nodes[0]!, name };
      moves.set(name, { node, ins: [TYPE], outs: [TYPE], candidates, signature: name });
    }
  }
  const network: Network = {
    graph,
    nodes,
    isConstant: () => false,
    conversions: (_, from, to) => moves.get(`${from}>${to}`)!,
  };
  return { network, costs: { estimate: (_, c) => ({ ns: ns.get(c.name)!, measured: true }) } };
}

/** The least time of given choices, conversions included, by the definition. */
function timeOf(network: Network, costs: CostModel, choices: readonly number[]): number {
  const { graph, nodes } = network;
  const chosen = nodes.map((n, i) => n.candidates[choices[i]!]!);
  const made = new Map<Value, Layout>(graph.inputs.map((v) => [v, "plain"]));
  const wanted = new Map<Value, Set<Layout>>();
  const want = (v: Value, l: Layout): unknown =>
    wanted.set(v, (wanted.get(v) ?? new Set<Layout>()).add(l));
  let sum = 0;
  nodes.forEach((n, i) => {
    sum += costs.estimate(n, chosen[i]!).ns;
    n.node.ins.forEach((v, k) => want(v, inputLayout(chosen[i]!, k)));
    n.node.outs.forEach((v, k) => made.set(v, outputLayout(chosen[i]!, k)));
  });
  for (const v of graph.outputs) want(v, "plain");
  for (const [v, layouts] of wanted) {
    const from = made.get(v)!;
    const move = (a: Layout, b: Layout): number => {
      const node = network.conversions(v, a, b);
      return Math.min(...node.candidates.map((c) => costs.estimate(node, c).ns));
    };
    sum += provisions(LAYOUTS, from, move)[setOf(LAYOUTS, [from, ...layouts])]!.cost;
  }
  return sum;
}

function leastTime(network: Network, costs: CostModel): number {
  const sizes = network.nodes.map((n) => n.candidates.length);
  const choices = sizes.map(() => 0);
  let best = Number.POSITIVE_INFINITY;
  for (;;) {
    best = Math.min(best, timeOf(network, costs, choices));
    let i = 0;
    while (i < sizes.length && ++choices[i]! === sizes[i]) choices[i++] = 0;
    if (i === sizes.length) return best;
  }
}

test("finds the least time of all combinations, shared conversions counted once", () => {
  let converted = 0;
  for (let seed = 0; seed < 60; seed++) {
    const rng = makeRng(seed);
    const { network, costs } = randomNetwork(rng, randomGraph(rng, 6));
    const optimum = selectOptimal(network, { costs });
    assert.equal(optimum.predictedNs, leastTime(network, costs), `seed ${seed}`);
    const { nodes } = applySelection(network, optimum.selection);
    assert.equal(nodes.length, network.nodes.length + optimum.selection.conversions.length);
    converted += optimum.selection.conversions.length;
  }
  assert.ok(converted > 30, `${converted} conversions`);
});

test("the runner-up is the best selection without the choice", () => {
  for (let seed = 0; seed < 20; seed++) {
    const rng = makeRng(seed);
    const { network, costs } = randomNetwork(rng, randomGraph(rng, 5));
    const optimum = selectOptimal(network, { costs });
    const { layers, predictedNs: total, gapNs } = optimum.explain();
    assert.equal(gapNs, 0);
    assert.equal(total, optimum.predictedNs);
    layers.forEach(({ runnerUp, chosen }, n) => {
      const node = network.nodes[n]!;
      assert.equal(runnerUp === null, node.candidates.length === 1);
      if (runnerUp === null) return;
      const others = node.candidates.filter((c) => c.name !== chosen.name);
      const without: Network = {
        ...network,
        nodes: network.nodes.map((o, i) => (i === n ? { ...o, candidates: others } : o)),
      };
      // Gaps contain what breaks ties.
      const gap = leastTime(without, costs) - total;
      assert.ok(Math.abs(runnerUp.gapNs - gap) <= 0.05, `seed ${seed}: ${runnerUp.gapNs}, ${gap}`);
    });
  }
});

test("a surcharge steers the choice and is not part of the time", () => {
  const rng = makeRng(3);
  const { network, costs } = randomNetwork(rng, randomGraph(rng, 6));
  const free = selectOptimal(network, { costs });
  const surcharge = (_: NetworkNode, c: Candidate): number => (c.name.endsWith("c0") ? 0 : 1e6);
  const first = selectOptimal(network, { costs, surcharge });
  assert.ok(first.selection.choices.every((c) => c === 0));
  assert.equal(first.predictedNs, predictedNs(network, costs, first.selection));
  assert.ok(first.predictedNs >= free.predictedNs);
});

test("pins are kept, and refused with what there is", () => {
  const rng = makeRng(7);
  const { network, costs } = randomNetwork(rng, randomGraph(rng, 6));
  const n = network.nodes.findIndex((node) => node.candidates.length > 1);
  const node = network.nodes[n]!;
  node.candidates.forEach((c, i) => {
    const pins = [{ layer: node.node.name, primitive: c.name }];
    assert.equal(selectOptimal(network, { costs, pins }).selection.choices[n], i);
  });
  const pin = (layer: string, primitive: string) => () =>
    selectOptimal(network, { costs, pins: [{ layer, primitive }] });
  assert.throws(pin(node.node.name, "nothing"), (e: UserError) => {
    assert.equal(e.code, "E_ARGUMENT");
    return e.hint?.includes(node.candidates.map((c) => c.name).join(", ")) === true;
  });
  assert.throws(
    pin("nobody", "nothing"),
    (e: UserError) => e.hint?.includes(node.node.name) === true,
  );
});
