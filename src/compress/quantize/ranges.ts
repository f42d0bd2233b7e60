/** @file The range of each value that becomes quantised, one for all values that share their parameters. */
import type { Graph, Value } from "../../graph/graph.ts";
import { UserError } from "../../util/errors.ts";
import type { CalibrationStats } from "./calibrate.ts";
import type { ValueStats } from "./histogram.ts";
import { type Observer, type Range, rangeOf } from "./observer.ts";
import { type Selection, sharedParams } from "./selection.ts";

export interface SharedRanges {
  /** The value that stands for all that share parameters with this one. */
  root(v: Value): Value;
  /** What covers all of them. Throws UserError where no finite values were seen. */
  range(v: Value): Range;
  /** The mean magnitude of their elements, to half a bin of the histogram. */
  meanMagnitude(v: Value): number;
}

/** Sum of the magnitudes that were counted. */
const magnitudes = ({ negative, positive, width }: ValueStats): number =>
  positive.reduce((sum, n, k) => sum + (n + negative[k]!) * (k + 0.5) * width, 0);

export function sharedRanges(
  g: Graph,
  stats: CalibrationStats,
  selection: Selection,
  observer: Observer = { kind: "min-max" },
): SharedRanges {
  const root = sharedParams(selection, (v) => g.constants.has(v));
  const members = new Map<Value, Value[]>();
  for (const v of stats.values.keys()) {
    members.set(root(v), [...(members.get(root(v)) ?? []), v]);
  }
  const own = (v: Value): ValueStats => {
    const s = stats.values.get(v);
    if (s === undefined || s.count === 0) {
      throw new UserError("E_DATA", `no finite values were seen of '${g.values.get(v)?.name}'`);
    }
    return s;
  };
  const all = (v: Value): ValueStats[] => (members.get(root(v)) ?? [v]).map(own);
  return {
    root,
    range(v) {
      const ranges = all(v).map((s) => rangeOf(s, observer));
      return {
        min: Math.min(...ranges.map((r) => r.min)),
        max: Math.max(...ranges.map((r) => r.max)),
      };
    },
    meanMagnitude(v) {
      const seen = all(v);
      const count = seen.reduce((a, s) => a + s.count, 0);
      return seen.reduce((a, s) => a + magnitudes(s), 0) / count;
    },
  };
}
