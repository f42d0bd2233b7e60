/** @file One network trained one way on pictures: what the experiments with structured layers and students share. */
import type { Graph } from "../../src/graph/graph.ts";
import type { PictureOptions } from "../../src/train/data/pictures.ts";
import type { PictureSet } from "../../src/train/data/sets.ts";
import { type DistilOptions, distil } from "../../src/train/distil.ts";
import type { TrainingEngine } from "../../src/train/engine.ts";
import { prefetchedBatches } from "../../src/train/node/prefetch.ts";
import { sgd } from "../../src/train/optimizers.ts";
import type { DecayRule } from "../../src/train/parameters.ts";
import { oneCycle } from "../../src/train/schedules.ts";
import { trainingStep } from "../../src/train/step.ts";
import { createTrainer } from "../../src/train/trainer.ts";
import { rounded, secondsSince, trainSteps } from "./run.ts";

export const MOMENTUM = 0.9;

/** What is the same for all variants. */
export interface Course {
  readonly set: PictureSet;
  readonly batch: number;
  readonly mean: readonly number[];
  readonly std: readonly number[];
  readonly augment: Pick<PictureOptions, "shift" | "mirror" | "cutout"> & {
    readonly views?: number;
  };
  readonly epochs: number;
  /** Highest rate of one cycle. */
  readonly rate: number;
  readonly threads: number;
  readonly engine: TrainingEngine;
}

export interface Variant {
  readonly model: Graph;
  readonly decay: number | DecayRule;
  /** Default: labels alone. */
  readonly loss?: DistilOptions;
  readonly teacher?: Graph;
  /** What the teacher says to each view, where `loss.outputs` is the feed of that. */
  readonly told?: Float32Array;
}

/** Trains a variant; the batches depend on the seed alone. `onEpoch` is handed a line for the log. */
export async function trainVariant(
  course: Course,
  { model, decay, loss = {}, teacher, told }: Variant,
  seed: number,
  onEpoch: (line: { epoch: number; loss: number; seconds: number }) => void,
): Promise<Graph> {
  const { set, batch, mean, std, augment, epochs, rate, threads, engine } = course;
  const optimizer = sgd({ momentum: MOMENTUM });
  const taught = (loss.alpha ?? 0) !== 0 || (loss.beta ?? 0) !== 0;
  const step = trainingStep(model, {
    optimizer,
    loss: distil(loss),
    decay,
    ...(taught && teacher !== undefined && { teacher }),
  });
  const trainer = await createTrainer(model, step, optimizer, { threads, engine });
  const batches = prefetchedBatches(set, {
    ...{ batch, seed, mean, std, ...augment },
    ...(told !== undefined && { teacher: told }),
  });
  try {
    const perEpoch = batches.batchesPerEpoch;
    const schedule = oneCycle(rate, epochs * perEpoch);
    for (let epoch = 0; epoch < epochs; epoch++) {
      const start = performance.now();
      const found = await trainSteps(trainer, batches, schedule, epoch * perEpoch, perEpoch);
      onEpoch({ epoch: epoch + 1, loss: rounded(found, 4), seconds: secondsSince(start) });
    }
    return trainer.model();
  } finally {
    trainer.close();
    await batches.close();
  }
}
