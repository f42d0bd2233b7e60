/** @file Which units go: the least important of all groups, until a target is met. */
import type { Graph } from "../../graph/graph.ts";
import { UserError } from "../../util/errors.ts";
import type { ChannelGroup } from "./groups.ts";
import type { Importance } from "./importance.ts";
import { type Kept, removeChannels } from "./remove.ts";

/** When enough has gone. */
export type PruneTarget =
  /** This share of the channels of the groups, 0 to 1. */
  | { readonly share: number }
  /** A graph that costs at most `limit`: multiply-accumulates, bytes, predicted time. */
  | { readonly cost: (graph: Graph) => number; readonly limit: number; readonly what: string };

export interface ChooseOptions {
  /** Channels of a layer stay a multiple of this where they can; default 1. */
  readonly roundTo?: number;
  /** Largest share of one group's units that may go; default 1, which leaves one unit. */
  readonly maxShare?: number;
  /** Rank by importance per cost that a unit saves, not by importance; the cost is that of the target. */
  readonly perCost?: boolean;
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
function rounded(group: ChannelGroup, units: number, roundTo: number): number {
  for (let n = units; n < group.count; n++) if ((n * group.width) % roundTo === 0) return n;
  return group.count;
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
    const { maxShare = 1 } = options;
    const left = groups.map((g) => Math.min(g.count - 1, Math.floor(g.count * maxShare + 1e-9)));
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
    if (!enough(this.kept(this.length))) return null;
    let [low, high] = [0, this.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (enough(this.kept(middle))) high = middle;
      else low = middle + 1;
    }
    return high;
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
  if ("share" in target) {
    const ranking = new Ranking(groups, importance, options);
    const most = removedShare(ranking.kept(ranking.length));
    const found = ranking.first((kept) => removedShare(kept) >= Math.min(target.share, most));
    return ranking.kept(found ?? ranking.length);
  }
  const { cost, limit, what } = target;
  const scores =
    options.perCost === true ? byCost(importance, savedPerUnit(graph, groups, cost)) : importance;
  const ranking = new Ranking(groups, scores, options);
  const found = ranking.first((kept) => cost(removeChannels(graph, kept)) <= limit);
  if (found === null) {
    const least = cost(removeChannels(graph, ranking.kept(ranking.length)));
    throw new UserError("E_UNMET", `channels can go until ${what} is ${least}, not ${limit}`, {
      hint: "allow more, or take a smaller model",
    });
  }
  return ranking.kept(found);
}
