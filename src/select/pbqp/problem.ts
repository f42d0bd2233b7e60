/**
 * @file The partitioned Boolean quadratic problem: every node takes exactly one of its choices; a choice costs
 * something by itself, and something together with the choices of neighbours. Selection of primitives is stated
 * in this form (Scholz and Eckstein 2002; Anderson and Gregg 2018). Infinity forbids.
 */
import { invariant } from "../../util/errors.ts";

/** Costs between the choices of two different nodes: `costs[i * choicesOfB + j]`. */
export interface PbqpEdge {
  readonly a: number;
  readonly b: number;
  readonly costs: Float64Array;
}

export interface Pbqp {
  /** Costs of the choices of every node; at least one choice each. */
  readonly nodes: readonly Float64Array[];
  /** In any order and direction; parallel edges add up. */
  readonly edges: readonly PbqpEdge[];
}

/** The cost of one assignment; Infinity when it takes something forbidden. */
export function costOf({ nodes, edges }: Pbqp, choices: readonly number[]): number {
  let sum = 0;
  nodes.forEach((costs, i) => {
    sum += costs[choices[i]!]!;
  });
  for (const { a, b, costs } of edges) {
    sum += costs[choices[a]! * nodes[b]!.length + choices[b]!]!;
  }
  return sum;
}

/** Checks sizes and values: a cost is a number or +Infinity. */
export function checkProblem({ nodes, edges }: Pbqp): void {
  const valid = (costs: Float64Array): boolean =>
    costs.every((c) => !Number.isNaN(c) && c !== Number.NEGATIVE_INFINITY);
  nodes.forEach((costs, i) => {
    invariant(costs.length > 0, () => `node ${i} has no choice`);
    invariant(valid(costs), () => `node ${i} has a cost that is not a number`);
  });
  for (const { a, b, costs } of edges) {
    const [m, n] = [nodes[a]?.length ?? 0, nodes[b]?.length ?? 0];
    invariant(a !== b && m * n > 0, () => `edge ${a}-${b} joins no two nodes`);
    invariant(
      costs.length === m * n,
      () => `edge ${a}-${b} has ${costs.length} costs, not ${m * n}`,
    );
    invariant(valid(costs), () => `edge ${a}-${b} has a cost that is not a number`);
  }
}
