/**
 * @file How much a model loses when single groups of channels are cut, and shares for every group from it: the largest
 * whose predicted loss stays under a common threshold.
 */
import type { Graph } from "../../graph/graph.ts";
import { UserError } from "../../util/errors.ts";
import { firstEnough, type PruneTarget } from "./choose.ts";
import type { ChannelGroup } from "./groups.ts";
import { type Importance, normalised, weightImportance } from "./importance.ts";
import { type Kept, removeChannels } from "./remove.ts";
import {
  keptByRatios,
  keptOf,
  meets,
  type ShareOptions,
  type ShareSubject,
  unmetBy,
} from "./shares.ts";

export const SENSITIVITY_RATIOS: readonly number[] = [0.1, 0.3, 0.5, 0.7, 0.9];

/** The model when one group alone has lost units. */
export interface SensitivityPoint {
  /** The share asked for. */
  readonly ratio: number;
  /** Units that went. */
  readonly gone: number;
  readonly value: number;
}

/** Points in order of their shares. */
export interface SensitivityCurve {
  readonly group: string;
  /** Units of the group. */
  readonly count: number;
  readonly points: readonly SensitivityPoint[];
}

/** Plain data. */
export interface Sensitivity {
  /** The value of the whole model. */
  readonly base: number;
  /** Whether a high value is good (accuracy) or a low one (errors). */
  readonly better: "high" | "low";
  readonly curves: readonly SensitivityCurve[];
}

export interface SensitivitySettings {
  /** Which units go first; default L1 of the weights. */
  readonly importance?: Importance;
  /** Default "high". */
  readonly better?: "high" | "low";
  readonly onPoint?: (done: number, total: number) => void;
}

/**
 * The value of the graph with each group alone cut by each ratio (0 to 1, of its units, the least important first; one
 * stays). `evaluate`: accuracy, or an error. Ratios that cut a group alike are evaluated once.
 */
export async function pruneSensitivity(
  graph: Graph,
  groups: readonly ChannelGroup[],
  evaluate: (graph: Graph) => Promise<number>,
  ratios: readonly number[] = SENSITIVITY_RATIOS,
  settings: SensitivitySettings = {},
): Promise<Sensitivity> {
  const wrong = ratios.find((r) => !(r > 0 && r <= 1));
  if (wrong !== undefined) {
    throw new UserError("E_ARGUMENT", `a ratio is above 0 and at most 1, got ${wrong}`);
  }
  const { better = "high", onPoint } = settings;
  const importance = settings.importance ?? normalised(weightImportance(graph, groups, "l1"));
  const base = await evaluate(graph);
  const sorted = [...new Set(ratios)].sort((a, b) => a - b);
  let done = 0;
  const curves: SensitivityCurve[] = [];
  for (const group of groups) {
    const known = new Map([[0, base]]);
    const points: SensitivityPoint[] = [];
    for (const ratio of sorted) {
      const kept = keptByRatios({ groups: [group], importance }, () => ratio);
      const gone = group.count - kept.get(group)!.length;
      const value = known.get(gone) ?? (await evaluate(removeChannels(graph, kept)));
      known.set(gone, value);
      points.push({ ratio, gone, value });
      onPoint?.(++done, sorted.length * groups.length);
    }
    curves.push({ group: group.name, count: group.count, points });
  }
  return { base, better, curves };
}

/**
 * Predicted loss after so many units of the group: between points along lines, never falling; ties between groups are
 * broken by the share. As many entries as the curve reaches, from 0 units on.
 */
function lossByUnits({ base, better }: Sensitivity, curve: SensitivityCurve): readonly number[] {
  const sign = better === "high" ? 1 : -1;
  const losses = [0];
  let [at, loss] = [0, 0];
  for (const { gone, value } of curve.points) {
    const next = Math.max(loss, sign * (base - value));
    for (let n = at + 1; n <= gone; n++) {
      losses.push(loss + ((next - loss) * (n - at)) / (gone - at));
    }
    [at, loss] = [gone, next];
  }
  const tiny = 1e-9 * Math.max(1, Math.abs(base));
  return losses.map((x, n) => x + (tiny * n) / curve.count);
}

export interface ChosenRatios {
  /** The share of its units that each group loses. */
  readonly ratios: ReadonlyMap<string, number>;
  /** The loss that no group alone is predicted to exceed, in the unit of the values. */
  readonly threshold: number;
  readonly kept: Kept;
}

/**
 * The share of every group under a target: of all, the largest whose predicted loss is within a common threshold, the
 * smallest that meets the target. Groups without a curve stay whole. Throws UserError E_UNMET.
 */
export function ratiosFor(
  sensitivity: Sensitivity,
  target: PruneTarget,
  subject: ShareSubject,
  options: ShareOptions = {},
): ChosenRatios {
  const { graph, groups, importance } = subject;
  const losses = new Map(sensitivity.curves.map((c) => [c.group, lossByUnits(sensitivity, c)]));
  const thresholds = [...new Set([...losses.values()].flat())].sort((a, b) => a - b);
  const at = (n: number): Kept =>
    new Map(
      groups.map((group) => {
        const list = losses.get(group.name) ?? [];
        const gone = list.findLastIndex((loss) => loss <= thresholds[n]!);
        return [group, keptOf(group, importance, Math.max(0, gone), options)];
      }),
    );
  const enough = meets(graph, target);
  const last = thresholds.length - 1;
  const found = last < 0 ? null : firstEnough(last, (n) => enough(at(n)));
  if (found === null) throw unmetBy(graph, target, at(Math.max(0, last)));
  const kept = at(found);
  const ratios = groups.map((g) => [g.name, 1 - kept.get(g)!.length / g.count] as const);
  return { ratios: new Map(ratios), threshold: thresholds[found]!, kept };
}
