/** @file Choosing calibration and evaluation rows: seeded, disjoint, never silently overlapping. */
import { UserError } from "../util/errors.ts";
import { makeRng } from "../util/rng.ts";
import type { DataSource } from "./source.ts";

export interface Split {
  readonly calibration: readonly number[];
  readonly evaluation: readonly number[];
  /** For people: how the rows were chosen. */
  readonly note: string;
}

/** Rows to calibrate with when the user gives no number. */
export const DEFAULT_CALIBRATION_ROWS = 300;

/**
 * Rows of one source for both purposes, or of two. From one source, at most half the rows calibrate.
 * `evaluation` may be the same source object: then the rows are disjoint.
 */
export function splitRows(
  data: DataSource,
  evaluation: DataSource | null,
  options: {
    readonly calibrationRows?: number;
    readonly evaluationRows?: number;
    readonly seed: number;
  },
): Split {
  const wanted = options.calibrationRows ?? DEFAULT_CALIBRATION_ROWS;
  if (data.size === 0) {
    throw new UserError("E_DATA", "the data source is empty", { where: data.description });
  }
  const order = [...makeRng(options.seed).permutation(data.size)];
  if (evaluation !== null) {
    const calibration = order.slice(0, Math.min(wanted, data.size));
    const limit = Math.min(options.evaluationRows ?? evaluation.size, evaluation.size);
    const picked = [...makeRng(options.seed + 1).permutation(evaluation.size)].slice(0, limit);
    return {
      calibration,
      evaluation: picked.sort((a, b) => a - b),
      note: `${calibration.length} rows of ${data.description} calibrate, ${limit} rows of ${evaluation.description} evaluate`,
    };
  }
  const count = Math.min(wanted, Math.floor(data.size / 2));
  if (count === 0) {
    throw new UserError("E_DATA", "one row cannot both calibrate and evaluate", {
      where: data.description,
      hint: "give more rows, or a second source with --eval",
    });
  }
  const rest = order.slice(count, count + (options.evaluationRows ?? data.size));
  return {
    calibration: order.slice(0, count),
    evaluation: rest.sort((a, b) => a - b),
    note: `${count} rows of ${data.description} calibrate, ${rest.length} others evaluate (seed ${options.seed})`,
  };
}
