/**
 * @file Pruning of channels as a plan: a criterion, with data or without, a target, and how many rounds of pruning and
 * training lead to it.
 */
import type { Graph } from "../../graph/graph.ts";
import { UserError } from "../../util/errors.ts";
import { type ChooseOptions, chooseChannels, type PruneTarget } from "./choose.ts";
import { type ChannelGroup, prunableGroups } from "./groups.ts";
import {
  type Importance,
  normalised,
  WEIGHT_CRITERIA,
  type WeightCriterion,
  weightImportance,
} from "./importance.ts";
import { LOSS_CRITERIA, type LossCriterion } from "./loss-importance.ts";
import { type Kept, removeChannels } from "./remove.ts";
import type { ShareSubject } from "./shares.ts";

export type PruneCriterion = WeightCriterion | LossCriterion;
export const CRITERIA: readonly PruneCriterion[] = [...WEIGHT_CRITERIA, ...LOSS_CRITERIA];

export interface PrunePlan extends ChooseOptions {
  readonly criterion: PruneCriterion;
  readonly target: PruneTarget;
  /** Rounds, each of which takes an equal part of what is to go; default 1. */
  readonly rounds?: number;
  /** Of "random"; default 1. */
  readonly seed?: number;
}

/** What a plan asks for on its way. */
export interface PlanHooks {
  /** For the criteria "taylor" and "fisher", see `lossImportance`. */
  readonly importance?: (graph: Graph, criterion: LossCriterion) => Promise<Importance>;
  /** Which units stay in this round; default: `chooseChannels`. */
  readonly choose?: (
    subject: ShareSubject,
    target: PruneTarget,
    options: ChooseOptions,
    round: number,
  ) => Promise<Kept>;
  /** Trains between rounds; null: it was stopped. Default: nothing. */
  readonly tune?: (graph: Graph, round: number) => Promise<Graph | null>;
}

/** One round; counted from 1. */
export interface PruneRound {
  readonly round: number;
  /** As pruned, before any training. */
  readonly graph: Graph;
  /** Units of each group before and after. */
  readonly groups: readonly {
    readonly name: string;
    readonly units: readonly [before: number, after: number];
  }[];
  /** Channels gone so far, of those that could go at the beginning. */
  readonly removed: number;
}

const channelsOf = (groups: readonly ChannelGroup[]): number =>
  groups.reduce((n, g) => n + g.count * g.width, 0);

/** Where the source stood, for targets of single rounds. */
interface Whole {
  readonly counts: ReadonlyMap<string, number>;
  readonly channels: number;
  readonly cost: number;
}

function wholeOf(source: Graph, target: PruneTarget): Whole {
  const groups = prunableGroups(source);
  return {
    counts: new Map(groups.map((g) => [g.name, g.count])),
    channels: channelsOf(groups),
    cost: "share" in target ? 0 : target.cost(source),
  };
}

/** Where a round ends that has gone this part of the way from the source to the target. */
function roundTarget(
  target: PruneTarget,
  part: number,
  whole: Whole,
  groups: readonly ChannelGroup[],
): PruneTarget {
  if (!("share" in target)) {
    return { ...target, limit: whole.cost + (target.limit - whole.cost) * part };
  }
  const present = channelsOf(groups);
  const fixed = lastOnes(whole, groups);
  const left = whole.channels * (1 - target.share * part) - fixed;
  return { share: Math.max(0, 1 - left / present) };
}

/** Channels of groups that have one unit left, and can lose no more. */
const lastOnes = (whole: Whole, groups: readonly ChannelGroup[]): number =>
  [...whole.counts.keys()].filter((name) => !groups.some((g) => g.name === name)).length;

/** The importance of every unit by any criterion, groups comparable. */
export async function importanceOf(
  graph: Graph,
  groups: readonly ChannelGroup[],
  criterion: PruneCriterion,
  { seed = 1, importance }: { readonly seed?: number } & Pick<PlanHooks, "importance"> = {},
): Promise<Importance> {
  const byWeights = WEIGHT_CRITERIA.find((c) => c === criterion);
  if (byWeights !== undefined) {
    const found = weightImportance(graph, groups, byWeights, { seed });
    return byWeights === "random" ? found : normalised(found);
  }
  if (importance !== undefined) return importance(graph, criterion as LossCriterion);
  throw new UserError("E_ARGUMENT", `${criterion} takes gradients of a loss on training data`, {
    hint: "give data, or use l1, l2, bn or fpgm",
  });
}

async function pruneRound(
  graph: Graph,
  plan: PrunePlan,
  hooks: PlanHooks,
  whole: Whole,
  round: number,
): Promise<PruneRound> {
  const { criterion, target, rounds = 1, seed = 1, maxShare = 1, ...options } = plan;
  const groups = prunableGroups(graph);
  const importance = await importanceOf(graph, groups, criterion, {
    seed: seed + round - 1,
    ...(hooks.importance !== undefined && { importance: hooks.importance }),
  });
  const aim = roundTarget(target, round / rounds, whole, groups);
  const share = (g: ChannelGroup): number => {
    const most = typeof maxShare === "number" ? maxShare : maxShare(g);
    return 1 - ((1 - most) * (whole.counts.get(g.name) ?? g.count)) / g.count;
  };
  const choice = { ...options, maxShare: share };
  const kept =
    hooks.choose === undefined
      ? chooseChannels(graph, groups, importance, aim, choice)
      : await hooks.choose({ graph, groups, importance }, aim, choice, round);
  const after = groups.map((g) => kept.get(g)?.length ?? g.count);
  const left = groups.reduce((n, g, i) => n + after[i]! * g.width, lastOnes(whole, groups));
  return {
    round,
    graph: removeChannels(graph, kept),
    groups: groups.map((g, i) => ({ name: g.name, units: [g.count, after[i]!] })),
    removed: 1 - left / whole.channels,
  };
}

/**
 * Prunes in rounds, with training between them, never an empty layer; the last round's graph is the result. null:
 * stopped by `tune`. Throws UserError where nothing can go, the target is not reached, or data are missing.
 */
export async function prunePlanned(
  source: Graph,
  plan: PrunePlan,
  hooks: PlanHooks = {},
): Promise<readonly PruneRound[] | null> {
  const { target, rounds: count = 1 } = plan;
  const whole = wholeOf(source, target);
  const rounds: PruneRound[] = [];
  let graph = source;
  for (let round = 1; round <= count; round++) {
    rounds.push(await pruneRound(graph, plan, hooks, whole, round));
    graph = rounds.at(-1)!.graph;
    if (round === count || hooks.tune === undefined) continue;
    const tuned = await hooks.tune(graph, round);
    if (tuned === null) return null;
    graph = tuned;
  }
  return rounds;
}
