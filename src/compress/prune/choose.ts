/** @file Which units go: the least important of all groups, until a target is met. */
import type { Graph } from "../../graph/graph.ts";
import { UserError } from "../../util/errors.ts";
import type { ChannelGroup } from "./groups.ts";
import type { Importance } from "./importance.ts";
import { type Kept, removeChannels } from "./remove.ts";

/** A graph that costs at most `limit`: multiply-accumulates, bytes, predicted time. */
export interface CostTarget {
  readonly cost: (graph: Graph) => number;
  readonly limit: number;
  /** The cost in words. */
  readonly what: string;
}

/** When enough has gone: this share of the channels of the groups, 0 to 1; or a cost. */
export type PruneTarget = { readonly share: number } | CostTarget;

export interface ChooseOptions {
  /** Channels of a layer stay a multiple of this where they can; default 1. */
  readonly roundTo?: number;
  /** Largest share of one group's units that may go; default 1, which leaves one unit. */
  readonly maxShare?: number | ((group: ChannelGroup) => number);
  /**
   * Rank by importance per cost that a unit saves, not by importance: this cost, such as predicted milliseconds; true:
   * that of the target.
   */
  readonly perCost?: boolean | ((graph: Graph) => number);
}

interface Ranked {
  readonly group: number;
  readonly unit: number;
  readonly score: number;
}

/** All units, least important first; ties in order of layers and channels. */
function rank(groups: readonly ChannelGroup[], importance: Importance): Ranked[] {
  return groups
    .flatMap((group, g) => {
      const scores = importance.get(group.name);
      if (scores?.length !== group.count) {
        throw new UserError("E_ARGUMENT", `there is no importance for its ${group.count} units`, {
          where: group.name,
        });
      }
      return Array.from(scores, (score, unit): Ranked => ({ group: g, unit, score }));
    })
    .sort((a, b) => a.score - b.score || a.group - b.group || a.unit - b.unit);
}

/** The units a group keeps at least, so that its channels are a multiple where they can be. */
export function rounded(group: ChannelGroup, units: number, roundTo: number): number {
  for (let n = units; n < group.count; n++) if ((n * group.width) % roundTo === 0) return n;
  return group.count;
}

/** Units of a group that may go. */
export const mostGone = (group: ChannelGroup, { maxShare = 1 }: ChooseOptions): number => {
  const share = typeof maxShare === "number" ? maxShare : maxShare(group);
  return Math.max(0, Math.min(group.count - 1, Math.floor(group.count * share + 1e-9)));
};

/** The smallest n of 0 to `most` that is enough, where all larger ones are; null: not even the largest is. */
export function firstEnough(most: number, enough: (n: number) => boolean): number | null {
  if (!enough(most)) return null;
  let [low, high] = [0, most];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (enough(middle)) high = middle;
    else low = middle + 1;
  }
  return high;
}

class Ranking {
  private readonly groups: readonly ChannelGroup[];
  private readonly order: readonly Ranked[];
  private readonly options: ChooseOptions;
  /** Units of each group, least important first. */
  private readonly byGroup: readonly (readonly number[])[];

  constructor(groups: readonly ChannelGroup[], importance: Importance, options: ChooseOptions) {
    this.groups = groups;
    this.options = options;
    const order = rank(groups, importance).filter((r) => r.score < Number.POSITIVE_INFINITY);
    const left = groups.map((g) => mostGone(g, options));
    this.order = order.filter(({ group }) => left[group]!-- > 0);
    this.byGroup = groups.map((_, g) => order.flatMap((r) => (r.group === g ? [r.unit] : [])));
  }

  get length(): number {
    return this.order.length;
  }

  /** What stays when the first `count` of the ranking go. */
  kept(count: number): Kept {
    const { roundTo = 1 } = this.options;
    const gone = this.groups.map(() => 0);
    for (const { group } of this.order.slice(0, count)) gone[group]!++;
    return new Map(
      this.groups.map((group, g) => {
        const stay = rounded(group, group.count - gone[g]!, roundTo);
        const removed = new Set(this.byGroup[g]!.slice(0, group.count - stay));
        const units = Array.from({ length: group.count }, (_, u) => u);
        return [group, units.filter((u) => !removed.has(u))] as const;
      }),
    );
  }

  /** The smallest number of units after which `enough` holds; null: never. */
  first(enough: (kept: Kept) => boolean): number | null {
    return firstEnough(this.length, (n) => enough(this.kept(n)));
  }
}

/** Channels that go, of all channels of the groups. */
export function removedShare(kept: Kept): number {
  let [all, gone] = [0, 0];
  for (const [group, units] of kept) {
    all += group.count * group.width;
    gone += (group.count - units.length) * group.width;
  }
  return all === 0 ? 0 : gone / all;
}

/** The cost that one unit of each group saves, measured by removing half of the group. */
function savedPerUnit(
  graph: Graph,
  groups: readonly ChannelGroup[],
  cost: (graph: Graph) => number,
): Map<string, number> {
  const whole = cost(graph);
  return new Map(
    groups.map((group) => {
      const gone = group.count >> 1;
      const units = Array.from({ length: group.count - gone }, (_, u) => u);
      const saved = whole - cost(removeChannels(graph, new Map([[group, units]])));
      return [group.name, saved / gone];
    }),
  );
}

/** Importance divided by saved cost; what saves nothing is not removed. */
function byCost(importance: Importance, saved: ReadonlyMap<string, number>): Importance {
  return new Map(
    [...importance].map(([name, scores]) => {
      const per = saved.get(name) ?? 0;
      return [name, scores.map((s) => (per > 0 ? s / per : Number.POSITIVE_INFINITY))];
    }),
  );
}

/**
 * The units that stay when the least important go until the target is met; at least one of each group stays. Throws
 * UserError E_UNMET with what can be reached.
 */
export function chooseChannels(
  graph: Graph,
  groups: readonly ChannelGroup[],
  importance: Importance,
  target: PruneTarget,
  options: ChooseOptions = {},
): Kept {
  if (groups.length === 0) {
    throw new UserError("E_UNSUPPORTED", "no channels of this model can be removed", {
      hint: "all reach an input or output, or an operator that needs all of them",
    });
  }
  const { perCost = false } = options;
  const saved = perCost === true ? ("share" in target ? null : target.cost) : perCost || null;
  const scores =
    saved === null ? importance : byCost(importance, savedPerUnit(graph, groups, saved));
  const ranking = new Ranking(groups, scores, options);
  if ("share" in target) {
    const most = removedShare(ranking.kept(ranking.length));
    const found = ranking.first((kept) => removedShare(kept) >= Math.min(target.share, most));
    return ranking.kept(found ?? ranking.length);
  }
  const { cost, limit } = target;
  const found = ranking.first((kept) => cost(removeChannels(graph, kept)) <= limit);
  if (found === null) {
    throw unmet(target, cost(removeChannels(graph, ranking.kept(ranking.length))));
  }
  return ranking.kept(found);
}

const short = (x: number): number => Number(x.toPrecision(6));

/** What can be reached is not enough. */
export const unmet = ({ what, limit }: CostTarget, least: number): UserError =>
  new UserError(
    "E_UNMET",
    `channels can go until ${what} is ${short(least)}, not ${short(limit)}`,
    {
      hint: "allow more, or take a smaller model",
    },
  );
