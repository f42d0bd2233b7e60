/** @file From sources to rows ready for a model: choosing, preprocessing, and keeping the two sets apart. */
import { bytesOf, type Tensor, type TensorType } from "../tensor/tensor.ts";
import { UserError } from "../util/errors.ts";
import { hashBytes } from "../util/math.ts";
import { type Preprocess, preprocess } from "./preprocess.ts";
import type { DataSource } from "./source.ts";
import { splitRows } from "./split.ts";

/** Feeds of a model with one input, and the class of each row; no labels: an empty list. */
export interface ModelRows {
  readonly feeds: readonly (readonly Tensor[])[];
  readonly labels: readonly number[];
}

export interface RowSets {
  readonly calibration: ModelRows;
  readonly evaluation: ModelRows;
  /** For people: how the rows were chosen and what was left out. */
  readonly note: string;
}

export interface RowOptions {
  readonly calibrationRows?: number;
  /** Default: all that is left, at most DEFAULT_EVALUATION_ROWS. */
  readonly evaluationRows?: number;
  readonly seed: number;
}

/** Rows evaluated when the user gives no number. */
export const DEFAULT_EVALUATION_ROWS = 5000;

/** Examples decoded at a time. */
const CHUNK = 256;

async function readRows(
  source: DataSource,
  rows: readonly number[],
  input: TensorType,
  settings: Preprocess,
  onRow: (done: number) => void,
): Promise<ModelRows> {
  const feeds: Tensor[][] = [];
  const labels: number[] = [];
  for (let at = 0; at < rows.length; at += CHUNK) {
    for (const example of await source.read(rows.slice(at, at + CHUNK))) {
      feeds.push([preprocess(example, input, settings)]);
      if (example.label !== null) labels.push(example.label);
    }
    onRow(feeds.length);
  }
  return { feeds, labels: labels.length === feeds.length ? labels : [] };
}

/**
 * Reads the rows to calibrate and to evaluate with. `evaluation` null: both come from `data`, disjoint.
 * Rows that are equal in both sets, byte for byte, are dropped from the evaluation, and the note says so.
 */
export async function readRowSets(
  data: DataSource,
  evaluation: DataSource | null,
  input: TensorType,
  settings: Preprocess,
  options: RowOptions,
  onRow: (text: string, done: number, total: number) => void = () => {},
): Promise<RowSets> {
  const size = (evaluation ?? data).size;
  const split = splitRows(data, evaluation, {
    ...options,
    evaluationRows: options.evaluationRows ?? Math.min(size, DEFAULT_EVALUATION_ROWS),
  });
  const told = (what: string, total: number) => (done: number) => onRow(what, done, total);
  const { calibration, evaluation: chosen } = split;
  const calibrating = await readRows(
    data,
    calibration,
    input,
    settings,
    told("reading calibration rows", calibration.length),
  );
  const evaluating = await readRows(
    evaluation ?? data,
    chosen,
    input,
    settings,
    told("reading evaluation rows", chosen.length),
  );
  return { calibration: calibrating, ...withoutOverlap(calibrating, evaluating, split.note) };
}

/** The evaluation rows that do not occur in the calibration. */
function withoutOverlap(
  calibration: ModelRows,
  evaluation: ModelRows,
  note: string,
): Pick<RowSets, "evaluation" | "note"> {
  const key = (feeds: readonly Tensor[]): string => feeds.map((t) => hashBytes(bytesOf(t))).join();
  const seen = new Set(calibration.feeds.map(key));
  const kept = evaluation.feeds.flatMap((feeds, i) => (seen.has(key(feeds)) ? [] : [i]));
  const dropped = evaluation.feeds.length - kept.length;
  if (dropped === 0) return { evaluation, note };
  if (kept.length === 0) {
    throw new UserError("E_DATA", "every evaluation row is also a calibration row", {
      hint: "give other rows with --eval, or leave it out to have --data split",
    });
  }
  const { feeds, labels } = evaluation;
  return {
    evaluation: {
      feeds: kept.map((i) => feeds[i]!),
      labels: labels.length === 0 ? [] : kept.map((i) => labels[i]!),
    },
    note: `${note}; left out of the evaluation because they equal calibration rows: ${dropped}`,
  };
}
