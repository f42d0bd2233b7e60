/**
 * @file The selection without a cost model: every node's first candidate, conversions where layouts differ.
 */
import type { Value } from "../graph/graph.ts";
import type { Layout } from "../tensor/layout.ts";
import {
  type Conversion,
  inputLayout,
  type Network,
  outputLayout,
  type Selection,
} from "./network.ts";

/** The conversions that the choices make necessary: straight from the layout a value is produced in. */
export function directConversions(network: Network, choices: readonly number[]): Conversion[] {
  const { graph, nodes } = network;
  const produced = new Map<Value, Layout>();
  const made = new Set<string>();
  const out: Conversion[] = [];
  const need = (value: Value, to: Layout): void => {
    const from = produced.get(value) ?? "plain";
    const key = `${value}:${to}`;
    if (from === to || made.has(key)) return;
    made.add(key);
    out.push({ value, from, to, candidate: 0 });
  };
  nodes.forEach(({ node, candidates }, n) => {
    const chosen = candidates[choices[n]!]!;
    node.ins.forEach((v, i) => need(v, inputLayout(chosen, i)));
    node.outs.forEach((v, i) => produced.set(v, outputLayout(chosen, i)));
  });
  for (const v of graph.outputs) need(v, "plain");
  return out;
}

/** Every node's first candidate. */
export function firstChoice(network: Network): Selection {
  const choices = network.nodes.map(() => 0);
  return { choices, conversions: directConversions(network, choices) };
}
