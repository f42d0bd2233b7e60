/** @file Sources of batches that are made when they are asked for. */
import { UserError } from "../../util/errors.ts";
import type { Batch, BatchSource } from "../batches.ts";
import {
  type BatchMaker,
  type BatchOptions,
  batchMaker,
  type EvaluationOptions,
  evaluationMaker,
  viewMaker,
} from "./maker.ts";
import type { ExampleSet } from "./sets.ts";

/** Throws UserError unless this is the number of a step. */
export function checkStep(step: number): void {
  if (Number.isInteger(step) && step >= 0 && step < 2 ** 31) return;
  throw new UserError("E_ARGUMENT", `no batch ${step}: steps are integers from 0`, {
    where: "step",
  });
}

/** Batches in the arrays of one slot. */
export function batchIn(
  maker: BatchMaker,
  arrays: readonly Float32Array[],
  labels: Int32Array,
  counted: number,
): Batch {
  return {
    feeds: Object.fromEntries(maker.arrays.map(({ name }, i) => [name, arrays[i]!])),
    labels: Array.from(labels.subarray(0, counted)),
  };
}

function inLine(maker: BatchMaker): BatchSource {
  const arrays = maker.arrays.map(({ length }) => new Float32Array(length));
  const labels = new Int32Array(maker.rows);
  return {
    rows: maker.rows,
    batchesPerEpoch: maker.batchesPerEpoch,
    batch: async (step) => {
      checkStep(step);
      return batchIn(maker, arrays, labels, maker.make(step, arrays, labels));
    },
    close: async () => {},
  };
}

/** Shuffled, augmented batches for training. Feeds: the input by name, and "target" [batch, classes]. */
export const trainingBatches = <S extends ExampleSet>(
  set: S,
  options: BatchOptions<S>,
): BatchSource => inLine(batchMaker(set, options));

/** All examples in order, in `batchesPerEpoch` batches; labels stop where the examples do. */
export const evaluationBatches = <S extends ExampleSet>(
  set: S,
  options: EvaluationOptions<S>,
): BatchSource => inLine(evaluationMaker(set, options));

/** All views of all examples in order, [count, views] of them in `batchesPerEpoch` batches. */
export const viewBatches = <S extends ExampleSet>(set: S, options: BatchOptions<S>): BatchSource =>
  inLine(viewMaker(set, options));
