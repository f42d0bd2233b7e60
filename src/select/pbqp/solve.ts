/**
 * @file Solves a PBQP: exact reductions, then bucket elimination where its tables fit, then branch and bound with
 * RN's choice as the first solution, within a budget of work, not of time: the same problem always has the same
 * answer. Says how far from the optimum the answer can be at most.
 */
import { eliminate, minFillOrder, miniBucketBound } from "./eliminate.ts";
import { ReductionGraph } from "./graph.ts";
import { checkProblem, costOf, type Pbqp } from "./problem.ts";

export interface PbqpOptions {
  /** Entries of the largest table that elimination may make. Default 10 million. */
  readonly maxTable?: number;
  /** Graphs that branch and bound may look at. Default 2000. */
  readonly maxBranches?: number;
}

export interface PbqpSolution {
  /** One choice for each node. */
  readonly choices: readonly number[];
  /** Infinity: no solution was found (there is none if `lowerBound` is Infinity too). */
  readonly cost: number;
  /** No solution costs less; equal to `cost` when that is proven to be the optimum. */
  readonly lowerBound: number;
  /** Nodes that the exact reductions left, and graphs that branch and bound looked at. */
  readonly coreNodes: number;
  readonly branches: number;
}

const MAX_TABLE = 1e7;
const MAX_BRANCHES = 2000;
/** Tables of the bound: at the root, and at every branch. */
const ROOT_BOUND_TABLE = 1e6;
const BOUND_TABLE = 1e4;
/** Relative size of what rounding may do to sums. */
const ROUNDING = 1e-12;

interface Answer {
  readonly choices: readonly number[];
  readonly cost: number;
  readonly lowerBound: number;
  readonly branches: number;
}

/** Throws InternalError when sizes or costs are not those of a problem. */
export function solvePbqp(problem: Pbqp, options: PbqpOptions = {}): PbqpSolution {
  checkProblem(problem);
  const graph = new ReductionGraph(problem.nodes, problem.edges);
  graph.reduce();
  const choices = problem.nodes.map(() => 0);
  let [gap, coreNodes, branches] = [0, 0, 0];
  let feasible = graph.lowerBound() < Number.POSITIVE_INFINITY;
  let proven = true;
  for (const core of feasible ? graph.cores() : []) {
    const answer = solveCore(core.problem, options);
    feasible &&= answer.cost < Number.POSITIVE_INFINITY;
    core.node.forEach((node, i) => {
      choices[node] = core.choice[i]![answer.choices[i]!]!;
    });
    proven &&= answer.cost === answer.lowerBound;
    gap += answer.cost === answer.lowerBound ? 0 : answer.cost - answer.lowerBound;
    coreNodes += core.node.length;
    branches += answer.branches;
  }
  graph.restore(choices);
  const cost = feasible ? costOf(problem, choices) : Number.POSITIVE_INFINITY;
  const open = feasible ? cost - gap : Number.NEGATIVE_INFINITY;
  return { choices, cost, lowerBound: proven ? cost : open, coreNodes, branches };
}

/** The answer by elimination when its tables fit, otherwise null. */
function byElimination(problem: Pbqp, limit: number): readonly number[] | null {
  const { order, largest, total } = minFillOrder(problem);
  return largest <= limit && total <= 4 * limit ? eliminate(problem, order) : null;
}

function solveCore(problem: Pbqp, options: PbqpOptions): Answer {
  const choices = byElimination(problem, options.maxTable ?? MAX_TABLE);
  if (choices !== null) {
    const cost = costOf(problem, choices);
    return { choices, cost, lowerBound: cost, branches: 0 };
  }
  return new Search(problem, options).answer();
}

/** RN: decides the busiest node by its estimate, reduces, and so on. */
function heuristic(graph: ReductionGraph, nodes: number): number[] {
  graph.reduce();
  for (let node = graph.busiest(); node !== null; node = graph.busiest()) {
    const h = graph.estimates(node);
    graph.fix(node, h.indexOf(Math.min(...h)));
    graph.reduce();
  }
  const choices = new Array<number>(nodes).fill(0);
  graph.restore(choices);
  return choices;
}

/** Depth-first branch and bound over the choices of the busiest node. */
class Search {
  private readonly problem: Pbqp;
  private readonly maxTable: number;
  private readonly budget: number;
  private readonly rootBound: number;
  private choices: readonly number[];
  private cost: number;
  /** Least bound of the parts that were not looked into. */
  private open = Number.POSITIVE_INFINITY;
  private branches = 0;

  constructor(problem: Pbqp, options: PbqpOptions) {
    this.problem = problem;
    this.maxTable = Math.min(options.maxTable ?? MAX_TABLE, ROOT_BOUND_TABLE);
    this.budget = options.maxBranches ?? MAX_BRANCHES;
    const { order } = minFillOrder(problem);
    this.rootBound = miniBucketBound(problem, order, this.maxTable);
    const root = new ReductionGraph(problem.nodes, problem.edges);
    this.choices = heuristic(root.clone(), problem.nodes.length);
    this.cost = costOf(problem, this.choices);
    this.visit(root);
  }

  answer(): Answer {
    const bound = Math.max(this.rootBound, Math.min(this.open, this.cost));
    const lowerBound = Math.min(bound, this.cost);
    return { choices: this.choices, cost: this.cost, lowerBound, branches: this.branches };
  }

  private worse(bound: number): boolean {
    if (this.cost === Number.POSITIVE_INFINITY) return bound === this.cost;
    return bound >= this.cost - ROUNDING * Math.abs(this.cost);
  }

  private offer(graph: ReductionGraph, choices: number[]): void {
    graph.restore(choices);
    const cost = costOf(this.problem, choices);
    if (cost >= this.cost) return;
    this.cost = cost;
    this.choices = choices;
  }

  /** Looks for something better in what the graph leaves open. */
  private visit(graph: ReductionGraph): void {
    graph.reduce();
    const bound = graph.lowerBound();
    if (this.worse(bound) || this.worse(this.rootBound)) return;
    const cores = graph.cores();
    const choices = this.problem.nodes.map(() => 0);
    const solved = cores.map(({ problem }) => byElimination(problem, this.maxTable / 10));
    if (solved.every((s) => s !== null)) {
      cores.forEach(({ node, choice }, c) => {
        node.forEach((n, i) => {
          choices[n] = choice[i]![solved[c]![i]!]!;
        });
      });
      this.offer(graph, choices);
      return;
    }
    const better = this.betterBound(bound, graph);
    if (this.worse(better)) return;
    if (++this.branches > this.budget) {
      this.open = Math.min(this.open, better);
      return;
    }
    this.branch(graph);
  }

  /** The bound with mini-buckets in place of what is left. */
  private betterBound(bound: number, graph: ReductionGraph): number {
    let sum = bound;
    for (const { problem } of graph.cores()) {
      const { order } = minFillOrder(problem);
      const simple = problem.nodes.reduce((n, costs) => n + Math.min(...costs), 0);
      sum += Math.max(0, miniBucketBound(problem, order, BOUND_TABLE) - simple);
    }
    return sum;
  }

  private branch(graph: ReductionGraph): void {
    const node = graph.busiest()!;
    const h = graph.estimates(node);
    const order = [...h.keys()].sort((p, q) => h[p]! - h[q]! || p - q);
    for (const choice of order) {
      if (h[choice] === Number.POSITIVE_INFINITY) continue;
      const next = graph.clone();
      next.fix(node, choice);
      this.visit(next);
    }
  }
}
