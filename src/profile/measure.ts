/**
 * @file Measures candidates in place: plans of the whole network, each with other candidates, are run and their
 * steps timed, so that caches are as they will be and conversions are timed as well.
 */
import type { Graph } from "../graph/graph.ts";
import type { Program } from "../kernel/program.ts";
import { type CompileResult, compileGraph } from "../plan/compile.ts";
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
  /** Called before each turn of a plan. */
  readonly progress?: (turn: number, turns: number) => void;
}

/**
 * A candidate expected to take this many times as long as the best one is not measured, unless it takes little
 * time anyway: what is never measured is never known to be slow.
 */
const HOPELESS = 3;
const LITTLE_NS = 100_000;
const MAX_PLANS = 40;
const REPEATS = 2;

/** A candidate with the nanoseconds it took, one for each of its appearances. */
interface Sample {
  readonly choice: NetworkNode;
  readonly candidate: Candidate;
  readonly times: number[];
}

/** A plan, and the least time seen of each of its steps in milliseconds. */
interface Plan {
  readonly compiled: CompileResult;
  readonly stepMs: number[];
}

/** Times every candidate worth it of every distinct layer of a graph in target form. */
export async function measureCandidates(
  graph: Graph,
  options: MeasureOptions,
): Promise<ProfileEntry[]> {
  const plans = plansOf(graph, options);
  // All plans in turn, and again: what disturbs the machine for a while hits all alike.
  for (let repeat = 0; repeat < REPEATS; repeat++) {
    for (const [i, { compiled, stepMs }] of plans.entries()) {
      options.progress?.(repeat * plans.length + i + 1, REPEATS * plans.length);
      (await timeSteps(compiled.program, options)).forEach((ms, step) => {
        stepMs[step] = Math.min(ms, stepMs[step]!);
      });
    }
  }
  return [...samplesOf(plans)].flatMap(([key, sample]) => entryOf(key, sample));
}

/** Plans that together have every candidate worth it. */
function plansOf(graph: Graph, { caps, coefficients }: MeasureOptions): Plan[] {
  const plans: Plan[] = [];
  const planned = new Set<string>();
  while (plans.length < MAX_PLANS) {
    const round = new Round(coefficients, planned);
    const select = (network: Network): Selection => round.select(network);
    const compiled = compileGraph(graph, { primitives, caps, select });
    if (plans.length > 0 && !round.fresh) break;
    const stepMs = compiled.program.steps.map(() => Number.POSITIVE_INFINITY);
    plans.push({ compiled, stepMs });
  }
  return plans;
}

function samplesOf(plans: readonly Plan[]): Map<string, Sample> {
  const found = new Map<string, Sample>();
  for (const { compiled, stepMs } of plans) {
    for (const { choice, candidate, firstStep, stepCount } of compiled.nodes) {
      const key = keyOf(choice, candidate);
      const ms = stepMs.slice(firstStep, firstStep + stepCount).reduce((a, b) => a + b, 0);
      const sample = found.get(key) ?? { choice, candidate, times: [] };
      sample.times.push(1e6 * ms);
      found.set(key, sample);
    }
  }
  return found;
}

function entryOf(key: string, { choice, candidate, times }: Sample): ProfileEntry[] {
  const ns = median(times);
  if (candidate.family === "view" || ns <= 0) return [];
  const [macs, bytes] = [Math.round(candidate.work.macs), Math.round(candidate.work.bytes)];
  return [{ key, group: groupOf(choice, candidate), ns, macs, bytes }];
}

/** The selection of one round: for every node a candidate that is in no plan yet, or the likely best one. */
class Round {
  private readonly coefficients: CoefficientTable;
  private readonly planned: Set<string>;
  /** Has something that no plan had. */
  fresh = false;

  /** `planned`: keys that are in plans; those of this round are added. */
  constructor(coefficients: CoefficientTable, planned: Set<string>) {
    this.coefficients = coefficients;
    this.planned = planned;
  }

  select(network: Network): Selection {
    // Equal layers take the same candidate: what is planned counts from the next round on.
    const added = new Set<string>();
    const choices = network.nodes.map((node) => this.pick(node, added));
    const costs = costModel(new Map(), this.coefficients);
    const problem = selectionProblem(network, costs, () => 0);
    const conversions = problem.decode(choices).conversions.map((c) => {
      if (network.isConstant(c.value)) return c;
      const node = network.conversions(c.value, c.from, c.to);
      return { ...c, candidate: this.pick(node, added) };
    });
    this.fresh = added.size > 0;
    for (const key of added) this.planned.add(key);
    return { choices, conversions };
  }

  private pick(node: NetworkNode, added: Set<string>): number {
    const expected = node.candidates.map((c) => modelledNs(this.coefficients, node, c));
    const least = Math.min(...expected);
    const worth = [...expected.keys()].filter(
      (i) => expected[i]! <= Math.max(HOPELESS * least, LITTLE_NS),
    );
    const key = (i: number): string => keyOf(node, node.candidates[i]!);
    const next = worth.find((i) => !this.planned.has(key(i)));
    if (next === undefined) return expected.indexOf(least);
    added.add(key(next));
    return next;
  }
}

/** Milliseconds of each step: a low quantile. */
async function timeSteps(program: Program, { open, budgetMs = 1000 }: MeasureOptions) {
  const session = await open(program);
  try {
    session.warmUp();
    const once = Math.max(1e-3, median(session.time(5)));
    const runs = Math.max(5, Math.min(100, Math.ceil(budgetMs / REPEATS / once)));
    return session.profile(runs).map((s) => s.lowMs);
  } finally {
    session.close();
  }
}
