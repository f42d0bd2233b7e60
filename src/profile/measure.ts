/**
 * @file Measures candidates in place: plans of the whole network, each with other candidates, are run and their
 * steps timed, so that caches are as they will be and conversions are timed as well.
 */
import type { Graph } from "../graph/graph.ts";
import type { Program } from "../kernel/program.ts";
import { compileGraph } from "../plan/compile.ts";
import type { Capabilities } from "../primitives/capabilities.ts";
import { primitives } from "../primitives/index.ts";
import type { Candidate } from "../primitives/primitive.ts";
import type { Session } from "../runtime/session.ts";
import { type CoefficientTable, costModel, groupOf, keyOf, modelledNs } from "../select/costs.ts";
import type { Network, NetworkNode, Selection } from "../select/network.ts";
import { selectionProblem } from "../select/problem.ts";
import type { ProfileEntry } from "../select/profile.ts";
import { median } from "../util/math.ts";

export interface MeasureOptions {
  readonly caps: Capabilities;
  readonly coefficients: CoefficientTable;
  /** Runs a program on the engine that is measured. */
  readonly open: (program: Program) => Promise<Session>;
  /** Time to spend on each plan, in milliseconds. Default 1000. */
  readonly budgetMs?: number;
  /** Called before each plan. */
  readonly progress?: (plan: number, pending: number) => void;
}

/** A candidate expected to take this many times as long as the best one is not measured. */
const HOPELESS = 3;
const MAX_PLANS = 40;
const REPEATS = 2;

/** A candidate with the nanoseconds it took, one for each of its appearances. */
interface Sample {
  readonly choice: NetworkNode;
  readonly candidate: Candidate;
  readonly times: number[];
}

/** Times every candidate worth it of every distinct layer of a graph in target form. */
export async function measureCandidates(
  graph: Graph,
  options: MeasureOptions,
): Promise<ProfileEntry[]> {
  const found = new Map<string, Sample>();
  for (let plan = 0; plan < MAX_PLANS; plan++) {
    const round = new Round(options, (key) => found.has(key));
    const { program, nodes } = compileGraph(graph, {
      primitives,
      caps: options.caps,
      select: (network) => round.select(network),
    });
    if (plan > 0 && round.fresh === 0) break;
    options.progress?.(plan + 1, round.fresh);
    const stepMs = await timeSteps(program, options);
    for (const { choice, candidate, firstStep, stepCount } of nodes) {
      const key = keyOf(choice, candidate);
      const ms = stepMs.slice(firstStep, firstStep + stepCount).reduce((a, b) => a + b, 0);
      const entry = found.get(key) ?? { choice, candidate, times: [] };
      entry.times.push(1e6 * ms);
      found.set(key, entry);
    }
  }
  return [...found].flatMap(([key, sample]) => entryOf(key, sample));
}

function entryOf(key: string, { choice, candidate, times }: Sample): ProfileEntry[] {
  const ns = median(times);
  if (candidate.family === "view" || ns <= 0) return [];
  const [macs, bytes] = [Math.round(candidate.work.macs), Math.round(candidate.work.bytes)];
  return [{ key, group: groupOf(choice, candidate), ns, macs, bytes }];
}

/** The plan of one round: for every node a candidate that was not measured yet, or the likely best one. */
class Round {
  private readonly options: MeasureOptions;
  private readonly isKnown: (key: string) => boolean;
  /** Distinct candidates measured for the first time. */
  fresh = 0;
  private readonly planned = new Set<string>();

  constructor(options: MeasureOptions, isKnown: (key: string) => boolean) {
    this.options = options;
    this.isKnown = isKnown;
  }

  select(network: Network): Selection {
    const choices = network.nodes.map((node) => this.pick(node));
    const { coefficients } = this.options;
    const costs = costModel(new Map(), coefficients);
    const problem = selectionProblem(network, costs, () => 0);
    const conversions = problem.decode(choices).conversions.map((c) => {
      if (network.isConstant(c.value)) return c;
      return { ...c, candidate: this.pick(network.conversions(c.value, c.from, c.to)) };
    });
    return { choices, conversions };
  }

  private pick(node: NetworkNode): number {
    const { coefficients } = this.options;
    const expected = node.candidates.map((c) => modelledNs(coefficients, node, c));
    const least = Math.min(...expected);
    const worth = [...expected.keys()].filter((i) => expected[i]! <= HOPELESS * least);
    const key = (i: number): string => keyOf(node, node.candidates[i]!);
    const next = worth.find((i) => !this.isKnown(key(i)));
    if (next === undefined) return expected.indexOf(least);
    if (!this.planned.has(key(next))) this.fresh++;
    this.planned.add(key(next));
    return next;
  }
}

/** Milliseconds of each step: the least of several low quantiles. */
async function timeSteps(program: Program, { open, budgetMs = 1000 }: MeasureOptions) {
  const session = await open(program);
  try {
    session.warmUp();
    const once = Math.max(1e-3, median(session.time(5)));
    const runs = Math.max(5, Math.min(100, Math.ceil(budgetMs / REPEATS / once)));
    const rounds = Array.from({ length: REPEATS }, () => session.profile(runs).map((s) => s.lowMs));
    return program.steps.map((_, i) => Math.min(...rounds.map((r) => r[i]!)));
  } finally {
    session.close();
  }
}
