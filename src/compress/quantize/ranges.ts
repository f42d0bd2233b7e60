/** @file The range of each value that becomes quantised, one for all values that share their parameters. */
import type { Graph, Value } from "../../graph/graph.ts";
import { UserError } from "../../util/errors.ts";
import type { CalibrationStats } from "./calibrate.ts";
import { type Observer, type Range, rangeOf } from "./observer.ts";
import { type Selection, sharedParams } from "./selection.ts";

export interface SharedRanges {
  /** The value that stands for all that share parameters with this one. */
  root(v: Value): Value;
  /** What covers all of them. Throws UserError where no finite values were seen. */
  range(v: Value): Range;
}

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
  const own = (v: Value): Range => {
    const s = stats.values.get(v);
    if (s === undefined || s.count === 0) {
      throw new UserError("E_DATA", `no finite values were seen of '${g.values.get(v)?.name}'`);
    }
    return rangeOf(s, observer);
  };
  return {
    root,
    range(v) {
      const ranges = (members.get(root(v)) ?? [v]).map(own);
      return {
        min: Math.min(...ranges.map((r) => r.min)),
        max: Math.max(...ranges.map((r) => r.max)),
      };
    },
  };
}
