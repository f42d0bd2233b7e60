/** @file Fifty steps of training agree with PyTorch (bench/peers/training-reference.ts made the reference). */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { nativeEngine } from "../../src/native/index.ts";
import { type TrainingEngine, wasmEngine } from "../../src/train/engine.ts";
import { crossEntropy } from "../../src/train/losses.ts";
import { sgd } from "../../src/train/optimizers.ts";
import { trainingStep } from "../../src/train/step.ts";
import { createTrainer } from "../../src/train/trainer.ts";
import type { UserError } from "../../src/util/errors.ts";
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

async function lossesOf(
  c: TrainingCase,
  engine: TrainingEngine,
  threads = 1,
  steps = STEPS,
): Promise<number[]> {
  const optimizer = sgd({ momentum: MOMENTUM });
  const step = trainingStep(c.model, {
    optimizer,
    loss: ({ g, outputs, input }) =>
      crossEntropy(g, outputs["logits"]!, input("target", [c.shape[0]!, 10])),
    decay: () => DECAY,
  });
  const trainer = await createTrainer(c.model, step, optimizer, { engine, threads });
  const batches = batchesOf(c);
  const losses: number[] = [];
  for (let i = 0; i < steps; i++) {
    const { image, target } = batches[i % batches.length]!;
    losses.push(trainer.step({ image, target }, RATE).loss);
  }
  trainer.close();
  return losses;
}

/** Null, with a remark, where native code cannot be made. */
async function nativeOrNull(t: TestContext): Promise<TrainingEngine | null> {
  try {
    return await nativeEngine();
  } catch (error) {
    t.diagnostic(`native code skipped: ${(error as UserError).message}`);
    return null;
  }
}

function agree(t: TestContext, name: string, got: readonly number[]): void {
  const want = reference.losses[name]!;
  const errors = got.map((loss, i) => Math.abs(loss - want[i]!) / Math.abs(want[i]!));
  const worst = Math.max(...errors);
  t.diagnostic(`largest relative difference ${worst.toExponential(1)}`);
  assert.ok(worst <= TOLERANCE, `step ${errors.indexOf(worst)}: ${worst}`);
}

for (const c of trainingCases()) {
  test(`${c.name}: ${STEPS} losses within ${TOLERANCE} of PyTorch's`, async (t) => {
    agree(t, c.name, await lossesOf(c, wasmEngine));
    const native = await nativeOrNull(t);
    if (native !== null) agree(t, c.name, await lossesOf(c, native, 2));
  });
}

test("one, two and four threads train to the same bits, in WebAssembly and natively", async (t) => {
  const c = trainingCases().find(({ name }) => name === "wrn-10-1")!;
  const engines = [wasmEngine, await nativeOrNull(t)].filter((e) => e !== null);
  for (const engine of engines) {
    const one = await lossesOf(c, engine, 1, 6);
    for (const threads of [2, 4]) {
      assert.deepEqual(await lossesOf(c, engine, threads, 6), one, `${engine.name}, ${threads}`);
    }
  }
});
