/** @file Schedules, batches, and steps that repeat to the bit. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { PictureSet } from "./data/sets.ts";
import { trainingBatches } from "./data/source.ts";
import { crossEntropy } from "./losses.ts";
import { resnet8 } from "./models/resnet8.ts";
import { adam, sgd } from "./optimizers.ts";
import { cosineRate, oneCycle, stepRate, warmUp } from "./schedules.ts";
import { trainingStep } from "./step.ts";
import { createTrainer } from "./trainer.ts";

const close = (got: number, want: number, tolerance: number): void =>
  assert.ok(Math.abs(got - want) <= tolerance, `${got}, expected ${want}`);

test("schedules", () => {
  assert.deepEqual([0, 5, 10].map(stepRate(1, [5, 8], 0.5)), [1, 0.5, 0.25]);
  close(cosineRate(2, 10)(5), 1, 1e-12);
  assert.deepEqual([0, 1, 2].map(warmUp(2, () => 4)), [2, 4, 4]);
  const cycle = oneCycle(1, 100);
  close(cycle(30), 1, 1e-12);
  assert.ok(cycle(0) < 0.05 && cycle(99) < 0.01);
});

const SIDE = 32;
const pictures: PictureSet = {
  count: 40,
  height: SIDE,
  width: SIDE,
  channels: 3,
  classes: 10,
  pixels: Uint8Array.from({ length: 40 * SIDE * SIDE * 3 }, (_, i) => (i * 7919) % 256),
  labels: Array.from({ length: 40 }, (_, i) => i % 10),
};

async function run(steps: number, threads: number, from?: ReadonlyMap<string, never>) {
  const model = resnet8({ batch: 4, seed: 3 });
  const optimizer = adam({ decoupled: true });
  const step = trainingStep(model, {
    optimizer,
    loss: ({ g, outputs, input }) => crossEntropy(g, outputs["logits"]!, input("target", [4, 10])),
    decay: (name) => (name.endsWith("weight") ? 0.01 : 0),
    clipNorm: 1,
  });
  const trainer = await createTrainer(model, step, optimizer, { threads });
  const batches = trainingBatches(pictures, { batch: 4, seed: 9, shift: 2, mirror: true });
  const start = from === undefined ? 0 : steps;
  if (from !== undefined) trainer.restore(from, start);
  const losses: number[] = [];
  for (let i = start; i < start + steps; i++) {
    const { feeds } = await batches.batch(i);
    losses.push(trainer.step(feeds, 0.001).loss);
  }
  const state = trainer.state();
  trainer.close();
  return { losses, state };
}

test("training repeats to the bit, on any number of threads, and goes on from a state", async () => {
  const whole = await run(6, 1);
  const two = await run(6, 2);
  assert.deepEqual(two, whole);
  const half = await run(3, 1);
  const rest = await run(3, 1, half.state as ReadonlyMap<string, never>);
  assert.deepEqual([...half.losses, ...rest.losses], whole.losses);
  assert.deepEqual(rest.state, whole.state);
});

test("a state of another optimiser is refused", async () => {
  const model = resnet8({ batch: 2 });
  const optimizer = sgd();
  const step = trainingStep(model, {
    optimizer,
    loss: ({ g, outputs, input }) => crossEntropy(g, outputs["logits"]!, input("target", [2, 10])),
  });
  const trainer = await createTrainer(model, step, optimizer);
  assert.throws(() => trainer.restore(new Map(), 0), { code: "E_DATA" });
  trainer.close();
});

test("a model of which nothing is trained is refused", () => {
  const build = () =>
    trainingStep(resnet8(), {
      optimizer: sgd(),
      trains: () => false,
      loss: ({ outputs }) => outputs["logits"]!,
    });
  assert.throws(build, { code: "E_ARGUMENT" });
});
