/** @file Fifty steps of training agree with PyTorch (bench/peers/training-reference.ts made the reference). */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { crossEntropy } from "../../src/train/losses.ts";
import { sgd } from "../../src/train/optimizers.ts";
import { trainingStep } from "../../src/train/step.ts";
import { createTrainer } from "../../src/train/trainer.ts";
import {
  batchesOf,
  DECAY,
  MOMENTUM,
  RATE,
  STEPS,
  type TrainingCase,
  trainingCases,
} from "../support/training-cases.ts";

const TOLERANCE = 1e-4;

interface Reference {
  readonly losses: Readonly<Record<string, readonly number[]>>;
}

const reference = JSON.parse(
  readFileSync(join(import.meta.dirname, "pytorch-losses.json"), "utf8"),
) as Reference;

async function lossesOf(c: TrainingCase): Promise<number[]> {
  const optimizer = sgd({ momentum: MOMENTUM });
  const step = trainingStep(c.model, {
    optimizer,
    loss: ({ g, outputs, input }) =>
      crossEntropy(g, outputs["logits"]!, input("target", [c.shape[0]!, 10])),
    decay: () => DECAY,
  });
  const trainer = await createTrainer(c.model, step, optimizer);
  const batches = batchesOf(c);
  const losses: number[] = [];
  for (let i = 0; i < STEPS; i++) {
    const { image, target } = batches[i % batches.length]!;
    losses.push(trainer.step({ image, target }, RATE).loss);
  }
  trainer.close();
  return losses;
}

for (const c of trainingCases()) {
  test(`${c.name}: ${STEPS} losses within ${TOLERANCE} of PyTorch's`, async (t) => {
    const got = await lossesOf(c);
    const want = reference.losses[c.name]!;
    const errors = got.map((loss, i) => Math.abs(loss - want[i]!) / Math.abs(want[i]!));
    const worst = Math.max(...errors);
    t.diagnostic(`largest relative difference ${worst.toExponential(1)}`);
    assert.ok(worst <= TOLERANCE, `step ${errors.indexOf(worst)}: ${worst}`);
  });
}
