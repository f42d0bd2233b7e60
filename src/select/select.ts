/**
 * @file Chooses for a whole network: candidates and conversions of the least predicted time together. Says how
 * sure that is, and what each layer's alternative would have cost.
 */
import type { Candidate } from "../primitives/primitive.ts";
import { UserError } from "../util/errors.ts";
import { type CostModel, costModel, type Estimate } from "./costs.ts";
import type { Conversion, Network, NetworkNode, Selection } from "./network.ts";
import type { PbqpSolution } from "./pbqp/solve.ts";
import { solvePbqp } from "./pbqp/solve.ts";
import { layerName, type Pin, pinned } from "./pins.ts";
import { type SelectionProblem, selectionProblem } from "./problem.ts";

export interface SelectOptions {
  /** Default: the fitted model. */
  readonly costs?: CostModel;
  readonly pins?: readonly Pin[];
  /** Nanoseconds added to a candidate: prices memory or code. */
  readonly surcharge?: (node: NetworkNode, candidate: Candidate) => number;
}

/** A candidate beside its cost. */
export interface PricedCandidate extends Estimate {
  readonly name: string;
  readonly family: string;
}

export interface ExplainedLayer {
  readonly name: string;
  readonly op: string;
  readonly chosen: PricedCandidate;
  /** All others, fastest first. */
  readonly others: readonly PricedCandidate[];
  /**
   * What this layer would be in the best selection without its chosen candidate, and how much longer the whole
   * network would take; null when it has no alternative.
   */
  readonly runnerUp: { readonly candidate: PricedCandidate; readonly gapNs: number } | null;
}

export interface ExplainedConversion extends Estimate {
  /** The value's name, with the layouts. */
  readonly name: string;
  readonly primitive: string;
}

export interface Explanation {
  readonly layers: readonly ExplainedLayer[];
  readonly conversions: readonly ExplainedConversion[];
  readonly predictedNs: number;
  /** No selection is predicted to be faster by more than this; 0: the selection is proven to be the optimum. */
  readonly gapNs: number;
}

export interface Optimum {
  readonly selection: Selection;
  /** Time of the whole network; surcharges are not part of it. */
  readonly predictedNs: number;
  readonly explain: () => Explanation;
}

/** The best selection for a network. Throws UserError for pins that fit nothing. */
export function selectOptimal(network: Network, options: SelectOptions = {}): Optimum {
  const costs = options.costs ?? costModel();
  const allowed = pinned(network, options.pins ?? []);
  const problem = selectionProblem(network, costs, (node, candidate) =>
    allowed(node, candidate)
      ? costs.estimate(node, candidate).ns + (options.surcharge?.(node, candidate) ?? 0)
      : Number.POSITIVE_INFINITY,
  );
  const solution = solvePbqp(problem.pbqp);
  if (solution.cost === Number.POSITIVE_INFINITY) {
    throw new UserError("E_UNMET", "no selection of primitives computes this network", {
      hint: "take back a --primitive",
    });
  }
  const selection = problem.decode(solution.choices);
  return {
    selection,
    predictedNs: predictedNs(network, costs, selection),
    explain: () => explain(network, costs, problem, solution, selection),
  };
}

/** The predicted time of a selection, conversions included. */
export function predictedNs(network: Network, costs: CostModel, selection: Selection): number {
  let sum = 0;
  network.nodes.forEach((node, n) => {
    sum += costs.estimate(node, node.candidates[selection.choices[n]!]!).ns;
  });
  for (const { value, from, to, candidate } of selection.conversions) {
    if (network.isConstant(value)) continue;
    const node = network.conversions(value, from, to);
    sum += costs.estimate(node, node.candidates[candidate]!).ns;
  }
  return sum;
}

function explain(
  network: Network,
  costs: CostModel,
  problem: SelectionProblem,
  solution: PbqpSolution,
  selection: Selection,
): Explanation {
  const layers = network.nodes.flatMap((node, n): ExplainedLayer[] => {
    if (node.node.op.view === true) return [];
    const priced = node.candidates.map((c) => priceOf(costs, node, c));
    const pick = selection.choices[n]!;
    return [
      {
        name: layerName(node),
        op: node.node.op.name,
        chosen: priced[pick]!,
        others: priced.filter((_, i) => i !== pick).sort((a, b) => a.ns - b.ns),
        runnerUp: runnerUp(problem, solution, n, priced),
      },
    ];
  });
  const conversions = selection.conversions
    .filter((c) => !network.isConstant(c.value))
    .map((c) => explainConversion(network, costs, c))
    .filter((c) => c.ns > 0);
  const predictedNs = [...layers.map((l) => l.chosen), ...conversions].reduce(
    (s, e) => s + e.ns,
    0,
  );
  return { layers, conversions, predictedNs, gapNs: solution.cost - solution.lowerBound };
}

const priceOf = (costs: CostModel, node: NetworkNode, c: Candidate): PricedCandidate => ({
  name: c.name,
  family: c.family,
  ...costs.estimate(node, c),
});

function explainConversion(
  network: Network,
  costs: CostModel,
  { value, from, to, candidate }: Conversion,
): ExplainedConversion {
  const node = network.conversions(value, from, to);
  const chosen = node.candidates[candidate]!;
  const name = network.graph.values.get(value)!.name || `%${value}`;
  return {
    name: `${name}: ${from} to ${to}`,
    primitive: chosen.name,
    ...costs.estimate(node, chosen),
  };
}

/** Solves again without the chosen candidate of one node. */
function runnerUp(
  { pbqp }: SelectionProblem,
  solution: PbqpSolution,
  n: number,
  priced: readonly PricedCandidate[],
): ExplainedLayer["runnerUp"] {
  if (priced.length < 2) return null;
  const without = pbqp.nodes[n]!.slice();
  without[solution.choices[n]!] = Number.POSITIVE_INFINITY;
  const nodes = pbqp.nodes.map((costs, i) => (i === n ? without : costs));
  const again = solvePbqp({ nodes, edges: pbqp.edges });
  if (again.cost === Number.POSITIVE_INFINITY) return null;
  return { candidate: priced[again.choices[n]!]!, gapNs: again.cost - solution.cost };
}
