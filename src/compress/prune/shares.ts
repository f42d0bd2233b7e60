/** @file What stays when each group loses a share of its own units, the least important: one share for all, or one each. */
import type { Graph } from "../../graph/graph.ts";
import {
  type ChooseOptions,
  firstEnough,
  mostGone,
  type PruneTarget,
  removedShare,
  rounded,
  unmet,
} from "./choose.ts";
import type { ChannelGroup } from "./groups.ts";
import type { Importance } from "./importance.ts";
import { type Kept, removeChannels } from "./remove.ts";

/** What is cut, and by which ranking. Groups are those of the graph. */
export interface ShareSubject {
  readonly graph: Graph;
  readonly groups: readonly ChannelGroup[];
  readonly importance: Importance;
}

/** How shares become units. */
export type ShareOptions = Pick<ChooseOptions, "roundTo" | "maxShare">;

/** The units of a group that stay when so many go, rounded up; those of infinite importance stay. */
export function keptOf(
  group: ChannelGroup,
  importance: Importance,
  gone: number,
  options: ShareOptions = {},
): readonly number[] {
  const { roundTo = 1 } = options;
  const scores = importance.get(group.name)!;
  const order = Array.from({ length: group.count }, (_, u) => u)
    .filter((u) => scores[u]! < Number.POSITIVE_INFINITY)
    .sort((a, b) => scores[a]! - scores[b]! || a - b);
  const most = Math.min(gone, mostGone(group, options), order.length);
  const stay = rounded(group, group.count - most, roundTo);
  const removed = new Set(order.slice(0, group.count - stay));
  return Array.from({ length: group.count }, (_, u) => u).filter((u) => !removed.has(u));
}

/** What stays when each group loses its share, 0 to 1, of the units, rounded down; one of each stays. */
export const keptByRatios = (
  { groups, importance }: Omit<ShareSubject, "graph">,
  ratioOf: (group: ChannelGroup) => number,
  options: ShareOptions = {},
): Kept =>
  new Map(
    groups.map((group) => {
      const gone = Math.floor(group.count * ratioOf(group) + 1e-9);
      return [group, keptOf(group, importance, gone, options)];
    }),
  );

/** Whether the target is met by what stays. */
export const meets =
  (graph: Graph, target: PruneTarget) =>
  (kept: Kept): boolean =>
    "share" in target
      ? removedShare(kept) >= target.share
      : target.cost(removeChannels(graph, kept)) <= target.limit;

/** The error of a target that even `kept` does not meet. */
export const unmetBy = (graph: Graph, target: PruneTarget, kept: Kept): Error =>
  "share" in target
    ? unmet(
        { cost: () => 0, limit: 1 - target.share, what: "the share of channels left" },
        1 - removedShare(kept),
      )
    : unmet(target, target.cost(removeChannels(graph, kept)));

/**
 * The thinner net: all groups narrowed by the smallest common share that meets the target. Throws UserError E_UNMET.
 */
export function narrowEvenly(
  subject: ShareSubject,
  target: PruneTarget,
  options: ShareOptions = {},
): { readonly ratio: number; readonly kept: Kept } {
  const { graph, groups } = subject;
  const all = groups.flatMap(({ count }) => Array.from({ length: count }, (_, n) => n / count));
  const ratios = [...new Set([0, ...all])].sort((a, b) => a - b);
  const at = (n: number): Kept => keptByRatios(subject, () => ratios[n]!, options);
  const enough = meets(graph, target);
  const found = firstEnough(ratios.length - 1, (n) => enough(at(n)));
  if (found === null) throw unmetBy(graph, target, at(ratios.length - 1));
  return { ratio: ratios[found]!, kept: at(found) };
}
