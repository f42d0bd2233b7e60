/**
 * @file The problem while it is being solved: edges are simplified, nodes of degree 0, 1 and 2 are removed by the
 * exact reductions R0, RI and RII, and put back in reverse order once the rest is decided.
 */
import type { Pbqp, PbqpEdge } from "./problem.ts";

/** An edge with a < b. */
interface Edge {
  readonly a: number;
  readonly b: number;
  readonly costs: Float64Array;
}

/** A removed node: its best choice follows from those of its neighbours at that time. */
interface Removed {
  readonly node: number;
  readonly costs: Float64Array;
  readonly edges: readonly Edge[];
}

/** A part of the problem with its own numbering. */
export interface Core {
  readonly problem: Pbqp;
  /** Node of the whole problem, by node of the part. */
  readonly node: readonly number[];
  /** Choice of the whole problem, by node and choice of the part. */
  readonly choice: readonly (readonly number[])[];
}

const minOf = (xs: Float64Array): number => {
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < xs.length; i++) if (xs[i]! < least) least = xs[i]!;
  return least;
};

/** The cost at choices i of `from` and j of the other end. */
const at = (edge: Edge, from: number, i: number, j: number, nb: number): number =>
  edge.a === from ? edge.costs[i * nb + j]! : edge.costs[j * nb + i]!;

export class ReductionGraph {
  private readonly costs: (Float64Array | null)[];
  private readonly adjacent: Map<number, Edge>[];
  private readonly removed: Removed[];

  constructor(
    costs: readonly (Float64Array | null)[],
    edges: readonly PbqpEdge[],
    removed: readonly Removed[] = [],
  ) {
    this.costs = costs.map((c) => c?.slice() ?? null);
    this.adjacent = costs.map(() => new Map());
    this.removed = [...removed];
    for (const edge of edges) this.add(edge.a, edge.b, edge.costs);
  }

  /** A copy that can be changed by itself. */
  clone(): ReductionGraph {
    return new ReductionGraph(this.costs, this.edges(), this.removed);
  }

  private edges(): Edge[] {
    return this.adjacent.flatMap((edges, a) => [...edges.values()].filter((e) => e.a === a));
  }

  private sizeOf(node: number): number {
    return this.costs[node]!.length;
  }

  /** Adds an edge in either direction, onto the one that is there. */
  private add(from: number, to: number, costs: Float64Array): void {
    const [a, b] = from < to ? [from, to] : [to, from];
    const [m, n] = [this.sizeOf(a), this.sizeOf(b)];
    const present = this.adjacent[a]!.get(b);
    const sum = present?.costs ?? new Float64Array(m * n);
    for (let i = 0; i < m; i++) {
      for (let j = 0; j < n; j++) sum[i * n + j]! += costs[from < to ? i * n + j : j * m + i]!;
    }
    if (present !== undefined) return;
    const edge = { a, b, costs: sum };
    this.adjacent[a]!.set(b, edge);
    this.adjacent[b]!.set(a, edge);
  }

  private drop(edge: Edge): void {
    this.adjacent[edge.a]!.delete(edge.b);
    this.adjacent[edge.b]!.delete(edge.a);
  }

  /** Simplifies all edges, again as long as that rules out choices. */
  simplify(): void {
    for (let again = true; again; ) {
      again = false;
      for (const edge of this.edges()) again = this.simplifyEdge(edge) || again;
    }
  }

  /**
   * Moves the minima of rows and columns into the nodes, so that each row and column has a zero; entries of
   * choices that are ruled out count as nothing. Drops the edge when all of it is zero. True when a choice was
   * ruled out.
   */
  private simplifyEdge(edge: Edge): boolean {
    const [ca, cb] = [this.costs[edge.a]!, this.costs[edge.b]!];
    const byRows = moveMinima(edge.costs, ca, cb, cb.length, 1);
    const byColumns = moveMinima(edge.costs, cb, ca, 1, cb.length);
    if (edge.costs.every((c) => c === 0)) this.drop(edge);
    return byRows || byColumns;
  }

  /** Applies R0, RI and RII until every node left has at least three neighbours. */
  reduce(): void {
    this.simplify();
    const queue = this.costs.flatMap((c, i) => (c === null ? [] : [i]));
    for (let node = queue.shift(); node !== undefined; node = queue.shift()) {
      if (this.costs[node] === null) continue;
      const edges = [...this.adjacent[node]!.values()];
      if (edges.length > 2) continue;
      queue.push(...this.remove(node, edges));
    }
  }

  /** Removes a node of degree at most 2; its neighbours, which may have become reducible. */
  private remove(node: number, edges: readonly Edge[]): number[] {
    const costs = this.costs[node]!;
    const others = edges.map((e) => (e.a === node ? e.b : e.a));
    const [y, z] = others;
    if (y !== undefined && z === undefined) this.reduceOne(node, y, edges[0]!);
    const both = y !== undefined && z !== undefined;
    const delta = both ? this.reduceTwo(node, [y, z], edges) : null;
    this.removed.push({ node, costs, edges });
    for (const edge of edges) this.drop(edge);
    this.costs[node] = null;
    if (both && delta !== null) {
      this.add(y, z, delta);
      this.simplifyEdge(this.adjacent[y]!.get(z)!);
    }
    return others;
  }

  /** RI: c_y[j] += min_i (c_x[i] + T[i][j]). */
  private reduceOne(x: number, y: number, edge: Edge): void {
    const [cx, cy] = [this.costs[x]!, this.costs[y]!];
    const nb = this.sizeOf(edge.b);
    for (let j = 0; j < cy.length; j++) {
      let least = Number.POSITIVE_INFINITY;
      for (let i = 0; i < cx.length; i++) least = Math.min(least, cx[i]! + at(edge, x, i, j, nb));
      cy[j]! += least;
    }
  }

  /** RII: T_yz[i][j] += min_k (c_x[k] + T_xy[k][i] + T_xz[k][j]). */
  private reduceTwo(
    x: number,
    [y, z]: readonly [number, number],
    edges: readonly Edge[],
  ): Float64Array {
    const [cx, m, n] = [this.costs[x]!, this.sizeOf(y), this.sizeOf(z)];
    const [ey, ez] = [edges[0]!, edges[1]!];
    const [by, bz] = [this.sizeOf(ey.b), this.sizeOf(ez.b)];
    const delta = new Float64Array(m * n).fill(Number.POSITIVE_INFINITY);
    for (let k = 0; k < cx.length; k++) {
      if (cx[k] === Number.POSITIVE_INFINITY) continue;
      for (let i = 0; i < m; i++) {
        const base = cx[k]! + at(ey, x, k, i, by);
        for (let j = 0; j < n; j++) {
          const sum = base + at(ez, x, k, j, bz);
          if (sum < delta[i * n + j]!) delta[i * n + j] = sum;
        }
      }
    }
    return delta;
  }

  /** Decides a node that has neighbours left: they take over what the choice costs with theirs. */
  fix(node: number, choice: number): void {
    const costs = new Float64Array(this.sizeOf(node)).fill(Number.POSITIVE_INFINITY);
    costs[choice] = this.costs[node]![choice]!;
    this.costs[node] = costs;
    for (const edge of [...this.adjacent[node]!.values()]) {
      const other = edge.a === node ? edge.b : edge.a;
      const nb = this.sizeOf(edge.b);
      const target = this.costs[other]!;
      for (let j = 0; j < target.length; j++) target[j]! += at(edge, node, choice, j, nb);
      this.drop(edge);
    }
  }

  /** The node of most neighbours among those left, the first one of several; null when none is left. */
  busiest(): number | null {
    let best: number | null = null;
    this.costs.forEach((costs, i) => {
      if (costs === null) return;
      if (best === null || this.adjacent[i]!.size > this.adjacent[best]!.size) best = i;
    });
    return best;
  }

  /** RN's estimate of each choice: own cost plus the least that every neighbour adds. */
  estimates(node: number): Float64Array {
    const h = this.costs[node]!.slice();
    for (const edge of this.adjacent[node]!.values()) {
      const target = this.costs[edge.a === node ? edge.b : edge.a]!;
      const nb = this.sizeOf(edge.b);
      for (let i = 0; i < h.length; i++) {
        let least = Number.POSITIVE_INFINITY;
        for (let j = 0; j < target.length; j++) {
          least = Math.min(least, at(edge, node, i, j, nb) + target[j]!);
        }
        h[i]! += least;
      }
    }
    return h;
  }

  /** No solution costs less than this: least costs of the nodes left and of those removed without neighbours. */
  lowerBound(): number {
    let sum = 0;
    for (const costs of this.costs) if (costs !== null) sum += minOf(costs);
    for (const { costs, edges } of this.removed) if (edges.length === 0) sum += minOf(costs);
    return sum;
  }

  /** What R0, RI and RII leave, split into parts that do not touch; only choices that are possible. */
  cores(): Core[] {
    const seen = new Set<number>();
    const cores: Core[] = [];
    this.costs.forEach((costs, start) => {
      if (costs === null || seen.has(start)) return;
      const members = [start];
      seen.add(start);
      for (const node of members) {
        for (const other of this.adjacent[node]!.keys()) {
          if (!seen.has(other)) members.push(other);
          seen.add(other);
        }
      }
      cores.push(this.part(members.sort((p, q) => p - q)));
    });
    return cores;
  }

  private part(node: readonly number[]): Core {
    const place = new Map(node.map((n, i) => [n, i]));
    const choice = node.map((n) =>
      [...this.costs[n]!.keys()].filter((i) => this.costs[n]![i]! < Number.POSITIVE_INFINITY),
    );
    const nodes = node.map((n, i) => Float64Array.from(choice[i]!, (c) => this.costs[n]![c]!));
    const edges = node.flatMap((n, i) =>
      [...this.adjacent[n]!.values()]
        .filter((e) => e.a === n)
        .map((e) => {
          const [b, width] = [place.get(e.b)!, this.sizeOf(e.b)];
          const costs = choice[i]!.flatMap((p) => choice[b]!.map((q) => e.costs[p * width + q]!));
          return { a: i, b, costs: Float64Array.from(costs) };
        }),
    );
    return { problem: { nodes, edges }, node, choice };
  }

  /** Completes `choices` (by node) with those of all removed nodes, the last removed first. */
  restore(choices: number[]): void {
    for (let r = this.removed.length - 1; r >= 0; r--) {
      const { node, costs, edges } = this.removed[r]!;
      const sums = costs.slice();
      for (const edge of edges) {
        const other = edge.a === node ? edge.b : edge.a;
        const width = edge.a === node ? edge.costs.length / costs.length : costs.length;
        for (let i = 0; i < sums.length; i++) {
          sums[i]! += at(edge, node, i, choices[other]!, width);
        }
      }
      choices[node] = Math.max(0, sums.indexOf(minOf(sums)));
    }
  }
}

/** For each line of the matrix, `step` apart with entries `stride` apart: its minimum into `own`. */
function moveMinima(
  costs: Float64Array,
  own: Float64Array,
  other: Float64Array,
  step: number,
  stride: number,
): boolean {
  let ruledOut = false;
  for (let i = 0; i < own.length; i++) {
    const base = i * step;
    const dead = own[i] === Number.POSITIVE_INFINITY;
    let least = Number.POSITIVE_INFINITY;
    for (let j = 0; j < other.length; j++) {
      if (dead || other[j] === Number.POSITIVE_INFINITY) costs[base + j * stride] = 0;
      else least = Math.min(least, costs[base + j * stride]!);
    }
    if (dead || least === 0) continue;
    own[i]! += least;
    ruledOut ||= least === Number.POSITIVE_INFINITY;
    for (let j = 0; j < other.length; j++) {
      if (other[j] === Number.POSITIVE_INFINITY) continue;
      if (least === Number.POSITIVE_INFINITY) costs[base + j * stride] = 0;
      else costs[base + j * stride]! -= least;
    }
  }
  return ruledOut;
}
