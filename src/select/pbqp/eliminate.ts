/**
 * @file Bucket elimination (Dechter 1999) for what R0, RI and RII leave: nodes are removed in the order of least
 * fill, each leaving a table over its neighbours. Exact. With a limit on tables that would be too large, a bucket
 * is split and its parts minimised by themselves, which gives a lower bound (mini-buckets).
 */
import type { Pbqp } from "./problem.ts";

/** A cost table over some nodes, the last one varying fastest. */
interface Factor {
  readonly nodes: readonly number[];
  readonly costs: Float64Array;
}

/** Nodes in the order they are removed in, and what that takes. */
export interface EliminationOrder {
  readonly order: readonly number[];
  /** Entries of the largest table looked at, and of all. */
  readonly largest: number;
  readonly total: number;
}

function neighbours({ nodes, edges }: Pbqp): Set<number>[] {
  const near = nodes.map(() => new Set<number>());
  for (const { a, b } of edges) {
    near[a]!.add(b);
    near[b]!.add(a);
  }
  return near;
}

/** Greedy order of least fill, then of least table, then of number. */
export function minFillOrder(problem: Pbqp): EliminationOrder {
  const near = neighbours(problem);
  const left = new Set(problem.nodes.keys());
  const order: number[] = [];
  let [largest, total] = [0, 0];
  while (left.size > 0) {
    let best = { node: -1, fill: Number.POSITIVE_INFINITY, table: Number.POSITIVE_INFINITY };
    for (const node of left) {
      const fill = fillOf(near, node, best.fill);
      if (fill > best.fill) continue;
      let table = problem.nodes[node]!.length;
      for (const other of near[node]!) table *= problem.nodes[other]!.length;
      if (fill < best.fill || table < best.table) best = { node, fill, table };
    }
    order.push(best.node);
    left.delete(best.node);
    largest = Math.max(largest, best.table);
    total += best.table;
    join(near, best.node);
  }
  return { order, largest, total };
}

/** Edges that removing the node would add; stops counting past `limit`. */
function fillOf(near: readonly Set<number>[], node: number, limit: number): number {
  const around = [...near[node]!];
  let fill = 0;
  for (let i = 0; i < around.length && fill <= limit; i++) {
    for (let j = i + 1; j < around.length; j++) {
      if (!near[around[i]!]!.has(around[j]!)) fill++;
    }
  }
  return fill;
}

function join(near: readonly Set<number>[], node: number): void {
  const around = near[node]!;
  for (const p of around) {
    near[p]!.delete(node);
    for (const q of around) if (p !== q) near[p]!.add(q);
  }
}

interface Minimised {
  readonly message: Factor;
  /** The best choice of the removed node for every entry of the message. */
  readonly best: Uint16Array;
}

const tableSize = (problem: Pbqp, nodes: readonly number[]): number =>
  nodes.reduce((n, node) => n * problem.nodes[node]!.length, 1);

const unionOf = (factors: readonly Factor[]): number[] =>
  [...new Set(factors.flatMap((f) => f.nodes))].sort((p, q) => p - q);

/** How far apart entries of the factor lie for one step of `node`; 0 when it does not depend on it. */
function strideOf(problem: Pbqp, factor: Factor, node: number): number {
  const at = factor.nodes.indexOf(node);
  return at < 0 ? 0 : tableSize(problem, factor.nodes.slice(at + 1));
}

/** The sum of the factors, minimised over the choices of `node`. */
function minimise(problem: Pbqp, node: number, factors: readonly Factor[]): Minimised {
  const nodes = unionOf(factors).filter((n) => n !== node);
  const sizes = nodes.map((n) => problem.nodes[n]!.length);
  const size = tableSize(problem, nodes);
  const costs = new Float64Array(size);
  const best = new Uint16Array(size);
  const strides = factors.map((f) => nodes.map((n) => strideOf(problem, f, n)));
  const own = factors.map((f) => strideOf(problem, f, node));
  const choices = problem.nodes[node]!.length;
  const at = new Int32Array(nodes.length);
  const offset = new Int32Array(factors.length);
  for (let e = 0; e < size; e++) {
    let least = Number.POSITIVE_INFINITY;
    for (let k = 0; k < choices; k++) {
      let sum = 0;
      for (let f = 0; f < factors.length; f++) sum += factors[f]!.costs[offset[f]! + k * own[f]!]!;
      if (sum >= least) continue;
      least = sum;
      best[e] = k;
    }
    costs[e] = least;
    for (let d = nodes.length - 1; d >= 0; d--) {
      const wrap = ++at[d]! === sizes[d]!;
      if (wrap) at[d] = 0;
      const move = wrap ? 1 - sizes[d]! : 1;
      for (let f = 0; f < factors.length; f++) offset[f]! += move * strides[f]![d]!;
      if (!wrap) break;
    }
  }
  return { message: { nodes, costs }, best };
}

const factorsOf = ({ nodes, edges }: Pbqp): Factor[] => [
  ...nodes.map((costs, i) => ({ nodes: [i], costs })),
  ...edges.map(({ a, b, costs }) => ({ nodes: [a, b], costs })),
];

/** The best choices; the order must fit into memory. */
export function eliminate(problem: Pbqp, order: readonly number[]): number[] {
  let factors = factorsOf(problem);
  const removed: { node: number; message: Factor; best: Uint16Array }[] = [];
  for (const node of order) {
    const bucket = factors.filter((f) => f.nodes.includes(node));
    factors = factors.filter((f) => !f.nodes.includes(node));
    const { message, best } = minimise(problem, node, bucket);
    removed.push({ node, message, best });
    factors.push(message);
  }
  const choices = problem.nodes.map(() => 0);
  for (const { node, message, best } of removed.reverse()) {
    let entry = 0;
    for (const n of message.nodes) entry = entry * problem.nodes[n]!.length + choices[n]!;
    choices[node] = best[entry]!;
  }
  return choices;
}

/** Splits factors into groups whose tables have at most `limit` entries, the largest factors first. */
function groups(problem: Pbqp, bucket: readonly Factor[], limit: number): Factor[][] {
  const found: Factor[][] = [];
  for (const factor of [...bucket].sort((p, q) => q.costs.length - p.costs.length)) {
    const fits = found.find((g) => tableSize(problem, unionOf([...g, factor])) <= limit);
    if (fits === undefined) found.push([factor]);
    else fits.push(factor);
  }
  return found;
}

/** A lower bound of all solutions, from tables of at most `limit` entries (more where one edge has more). */
export function miniBucketBound(problem: Pbqp, order: readonly number[], limit: number): number {
  let factors = factorsOf(problem);
  for (const node of order) {
    const bucket = factors.filter((f) => f.nodes.includes(node));
    factors = factors.filter((f) => !f.nodes.includes(node));
    for (const group of groups(problem, bucket, limit)) {
      factors.push(minimise(problem, node, group).message);
    }
  }
  return factors.reduce((sum, f) => sum + f.costs[0]!, 0);
}
