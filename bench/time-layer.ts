/** @file Times every candidate of one layer, in turns, each alone with its operands in the caches. */
import type { Target } from "../cli/target.ts";
import type { Graph } from "../src/graph/graph.ts";
import type { Program } from "../src/kernel/program.ts";
import { compileGraph } from "../src/plan/compile.ts";
import { primitives } from "../src/primitives/index.ts";
import type { Candidate } from "../src/primitives/primitive.ts";
import type { Session } from "../src/runtime/session.ts";
import { coefficientsFor, costModel, modelledNs } from "../src/select/costs.ts";
import type { Network, NetworkNode } from "../src/select/network.ts";
import { selectOptimal } from "../src/select/select.ts";

/** One candidate with the nanoseconds of each round; none: too slow to be worth measuring. */
export interface TimedCandidate {
  readonly candidate: Candidate;
  /** Of few runs, before the rounds. */
  readonly firstNs: number;
  readonly roundsNs: readonly number[];
}

export interface TimedLayer {
  readonly choice: NetworkNode;
  readonly candidates: readonly TimedCandidate[];
}

export interface TimeOptions {
  readonly target: Target;
  readonly rounds: number;
  /** Milliseconds for a candidate in one round. */
  readonly sliceMs: number;
  /** A candidate that takes this many times as long as another is not measured any further. */
  readonly hopeless?: number;
}

/** The default of `hopeless`. */
export const HOPELESS = 4;
const FIRST_RUNS = 3;

interface Contender {
  readonly candidate: Candidate;
  readonly session: Session;
  /** The candidate's steps; conversions around it are not its own. */
  readonly from: number;
  readonly to: number;
  firstNs: number;
  readonly roundsNs: number[];
}

/** The layer as a network of one node. */
function networkOf(graph: Graph, { caps }: Target): Network {
  const found: Network[] = [];
  compileGraph(graph, {
    primitives,
    caps,
    select: (network) => {
      found.push(network);
      return selectOptimal(network).selection;
    },
  });
  return found[0]!;
}

interface Plan {
  readonly program: Program;
  readonly from: number;
  readonly to: number;
}

/** The layer computed by the candidate of this index, with what conversions that takes. */
function planOf(graph: Graph, { caps }: Target, index: number): Plan {
  const { program, nodes } = compileGraph(graph, {
    primitives,
    caps,
    select: (network) => {
      const wanted = network.nodes[0]!.candidates[index];
      const surcharge = (node: NetworkNode, c: Candidate): number =>
        node === network.nodes[0] && c !== wanted ? Number.POSITIVE_INFINITY : 0;
      return selectOptimal(network, { surcharge }).selection;
    },
  });
  const own = nodes.find(({ node }) => node.name === "layer")!;
  return { program, from: own.firstStep, to: own.firstStep + own.stepCount };
}

function timeOnce({ session, from, to }: Contender, runs: number): number {
  const steps = session.profile(runs).slice(from, to);
  return 1e6 * steps.reduce((sum, { ms }) => sum + ms, 0);
}

/** Times the candidates of a layer of bench/shapes; a view or a layer that folds has none. */
export async function timeLayer(graph: Graph, options: TimeOptions): Promise<TimedLayer | null> {
  const { target, rounds, sliceMs, hopeless = HOPELESS } = options;
  const choice = networkOf(graph, target).nodes[0];
  if (choice === undefined) return null;
  const contenders: Contender[] = [];
  for (const [i, candidate] of choice.candidates.entries()) {
    const { program, from, to } = planOf(graph, target, i);
    const session = await target.open(program);
    contenders.push({ candidate, session, from, to, firstNs: 0, roundsNs: [] });
  }
  try {
    for (const one of contenders) one.firstNs = timeOnce(one, FIRST_RUNS);
    const least = Math.min(...contenders.map((c) => c.firstNs));
    const worth = contenders.filter((c) => c.firstNs <= hopeless * least);
    for (let round = 0; round < rounds; round++) {
      for (let k = 0; k < worth.length; k++) {
        const one = worth[(k + round) % worth.length]!;
        const runs = Math.max(5, Math.min(200, Math.round((1e6 * sliceMs) / one.firstNs)));
        one.roundsNs.push(timeOnce(one, runs));
      }
    }
    return { choice, candidates: contenders };
  } finally {
    for (const { session } of contenders) session.close();
  }
}

/** What the selector takes where nothing was measured on this machine: the least by the fitted model. */
export function modelPick(choice: NetworkNode, target: Target): Candidate {
  const table = coefficientsFor(target.caps.name);
  const ns = choice.candidates.map((c) => modelledNs(table, choice, c));
  return choice.candidates[ns.indexOf(Math.min(...ns))]!;
}

/** What it takes of measured times. */
export function measuredPick(
  choice: NetworkNode,
  target: Target,
  measured: ReadonlyMap<string, number>,
): Candidate {
  const costs = costModel(measured, coefficientsFor(target.caps.name));
  const ns = choice.candidates.map((c) => costs.estimate(choice, c).ns);
  return choice.candidates[ns.indexOf(Math.min(...ns))]!;
}
