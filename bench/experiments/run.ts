/** @file What the experiments with training share: epochs, accuracy, JSON lines. */
import { appendFileSync } from "node:fs";
import type { Graph } from "../../src/graph/graph.ts";
import { nativeEngine } from "../../src/native/index.ts";
import { cleanGraph, compile } from "../../src/pipeline.ts";
import { createSession } from "../../src/runtime/session.ts";
import { tensorOf } from "../../src/tensor/tensor.ts";
import type { BatchSource } from "../../src/train/batches.ts";
import { type PictureSet, subset } from "../../src/train/data/sets.ts";
import { evaluationBatches } from "../../src/train/data/source.ts";
import { type TrainingEngine, wasmEngine } from "../../src/train/engine.ts";
import type { Schedule } from "../../src/train/schedules.ts";
import type { Trainer } from "../../src/train/trainer.ts";
import { UserError } from "../../src/util/errors.ts";
import { makeRng } from "../../src/util/rng.ts";
import type { Sets } from "./cifar10.ts";

/** Writes each line to standard output, and to the file where one is given. */
export const lineWriter =
  (file?: string) =>
  (line: object): void => {
    const text = JSON.stringify(line);
    console.log(text);
    if (file !== undefined) appendFileSync(file, `${text}\n`);
  };

export const engineNamed = async (name: string): Promise<TrainingEngine> =>
  name === "native" ? await nativeEngine() : wasmEngine;

export const rounded = (x: number, digits: number): number => Number(x.toFixed(digits));

/** Tenths of seconds since a time of `performance.now`. */
export const secondsSince = (since: number): number =>
  rounded((performance.now() - since) / 1000, 1);

export interface Evaluation {
  readonly batch: number;
  readonly mean: readonly number[];
  readonly std: readonly number[];
  readonly threads: number;
}

/** Share of the pictures whose largest output is their class, in per cent. */
export async function accuracy(
  model: Graph,
  set: PictureSet,
  { batch, mean, std, threads }: Evaluation,
): Promise<number> {
  const session = await createSession(compile(cleanGraph(model)).program, { threads });
  const { type } = model.values.get(model.inputs[0]!)!;
  let right = 0;
  const source = evaluationBatches(set, { batch, mean, std });
  for (let i = 0; i < source.batchesPerEpoch; i++) {
    const { feeds, labels } = await source.batch(i);
    const image = feeds["image"] as Float32Array;
    const logits = session.run([tensorOf("f32", type.shape, image)])[0]!.data as Float32Array;
    labels.forEach((label, j) => {
      const row = logits.subarray(j * set.classes, (j + 1) * set.classes);
      if (row.indexOf(Math.max(...row)) === label) right++;
    });
  }
  session.close();
  return (100 * right) / set.count;
}

/** The mean loss of the steps from `first` on. Throws UserError as soon as it is no number. */
export async function trainSteps(
  trainer: Trainer,
  batches: BatchSource,
  schedule: Schedule,
  first: number,
  count: number,
): Promise<number> {
  let loss = 0;
  for (let n = first; n < first + count; n++) {
    const { feeds } = await batches.batch(n);
    loss += trainer.step(feeds, schedule(n)).loss / count;
    if (Number.isFinite(loss)) continue;
    throw new UserError("E_DATA", `step ${n}: the loss is ${loss}`, {
      hint: `try a lower learning rate than ${schedule(n)}`,
    });
  }
  return loss;
}

const SUBSET_SEED = 20;

/** The first pictures of a seeded order. */
export const some = (set: PictureSet, rows: number): PictureSet =>
  rows >= set.count
    ? set
    : subset(set, Array.from(makeRng(SUBSET_SEED).permutation(set.count).slice(0, rows)));

/** The last n training pictures in place of the test set, to choose settings by; 0: the sets as they are. */
export function heldOut(sets: Sets, n: number): Sets {
  if (n === 0) return sets;
  const split = sets.train.count - n;
  const rows = (from: number, count: number): number[] =>
    Array.from({ length: count }, (_, i) => from + i);
  return { train: subset(sets.train, rows(0, split)), test: subset(sets.train, rows(split, n)) };
}

const averageOf = (xs: readonly number[]): number => xs.reduce((a, b) => a + b, 0) / xs.length;

/** The sample's standard deviation; 0 of one number. */
function deviation(xs: readonly number[]): number {
  const centre = averageOf(xs);
  const squares = xs.reduce((sum, x) => sum + (x - centre) ** 2, 0);
  return Math.sqrt(squares / Math.max(1, xs.length - 1));
}

const DIGITS = 3;

/** Mean errors by method, and differences to `reference` seed by seed. `errors`: one number a seed, in one order. */
export function pairedSummary(
  errors: ReadonlyMap<string, readonly number[]>,
  reference: string,
): readonly object[] {
  const base = errors.get(reference)!;
  return [...errors].map(([method, own]) => {
    const differences = own.map((e, i) => e - base[i]!);
    return {
      method,
      meanError: rounded(averageOf(own), DIGITS),
      deviation: rounded(deviation(own), DIGITS),
      ...(method !== reference && {
        pairedDifference: rounded(averageOf(differences), DIGITS),
        deviationOfDifference: rounded(deviation(differences), DIGITS),
        differences: differences.map((d) => rounded(d, DIGITS)),
      }),
    };
  });
}
