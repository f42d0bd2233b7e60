/** @file The loop: the same bits after a resumption, early stopping, and what it says of a step that fails. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Graph } from "../graph/graph.ts";
import { UserError } from "../util/errors.ts";
import type { BatchSource } from "./batches.ts";
import { decodeCheckpoint, encodeCheckpoint } from "./checkpoint.ts";
import type { PictureSet } from "./data/sets.ts";
import { trainingBatches } from "./data/source.ts";
import { type Evaluator, evaluator } from "./evaluate.ts";
import { type FitOptions, type FitResult, fit, type LoopState } from "./loop.ts";
import { crossEntropy } from "./losses.ts";
import { lenet5 } from "./models/lenet5.ts";
import { adam, sgd } from "./optimizers.ts";
import { constantRate, cosineRate } from "./schedules.ts";
import { trainingStep } from "./step.ts";
import { createTrainer } from "./trainer.ts";

const COUNT = 48;
const BATCH = 8;

/** Light squares whose place tells the class. */
const pictures: PictureSet = {
  count: COUNT,
  height: 28,
  width: 28,
  channels: 1,
  classes: 10,
  pixels: Uint8Array.from({ length: COUNT * 784 }, (_, i) => {
    const [picture, at] = [Math.floor(i / 784), i % 784];
    const inside = Math.floor(at / 28 / 7) * 4 + Math.floor((at % 28) / 7) === picture % 10;
    return inside ? 255 : (at * 7919 + picture) % 60;
  }),
  labels: Array.from({ length: COUNT }, (_, i) => i % 10),
};

/** Batches, with what a test does to them. */
function source(change: (image: Float32Array, step: number) => void = () => {}): BatchSource {
  const own = trainingBatches(pictures, { batch: BATCH, seed: 4, shift: 1 });
  return {
    ...own,
    batch: async (step) => {
      const batch = await own.batch(step);
      change(batch.feeds["image"] as Float32Array, step);
      return batch;
    },
  };
}

interface Run extends Partial<FitOptions> {
  readonly model?: Graph;
  readonly average?: number;
  readonly optimizer?: ReturnType<typeof sgd>;
  readonly clipNorm?: number;
}

async function run(given: Run): Promise<FitResult> {
  const { optimizer = adam({ decoupled: true }), clipNorm, average, ...options } = given;
  const model: Graph = given.model ?? lenet5({ batch: BATCH, seed: 2 });
  const step = trainingStep(model, {
    optimizer,
    loss: ({ g, outputs, input }) =>
      crossEntropy(g, outputs["logits"]!, input("target", [BATCH, 10])),
    ...(clipNorm !== undefined && { clipNorm }),
    ...(average !== undefined && { average }),
  });
  const trainer = await createTrainer(model, step, optimizer);
  const settings = { step, optimizer, trainer, train: source(), steps: 20 };
  try {
    return await fit({ ...settings, schedule: cosineRate(0.002, 20), ...options });
  } finally {
    trainer.close();
  }
}

const identity = { settings: null, layers: "", weights: "" };

/** A state as it comes back from a file. */
function stored(loop: LoopState): LoopState {
  const bytes = encodeCheckpoint({ identity, loop, finished: false });
  return decodeCheckpoint(bytes, "memory").loop;
}

const evaluation = (every: number) => ({ evaluator: evaluator(source()), every });

test("a run that goes on from any checkpoint ends with the same bits", async () => {
  const states: LoopState[] = [];
  const reports: string[] = [];
  const kept = { average: 0.9, clipNorm: 1 };
  const whole = await run({
    ...kept,
    evaluation: evaluation(7),
    checkpoint: { every: 5, save: (s) => void states.push(stored(s)) },
    onEpoch: ({ epoch, meanLoss, accuracy }) => reports.push(`${epoch} ${meanLoss} ${accuracy}`),
  });
  assert.deepEqual(
    states.map((s) => s.progress.step),
    [5, 10, 15, 20],
  );
  assert.equal(whole.state.progress.ended, "steps");
  for (const from of states) {
    const told: string[] = [];
    const rest = await run({
      ...kept,
      evaluation: evaluation(7),
      from,
      onEpoch: ({ epoch, meanLoss, accuracy }) => told.push(`${epoch} ${meanLoss} ${accuracy}`),
    });
    assert.deepEqual(rest.state, whole.state);
    assert.deepEqual(rest.best?.constants, whole.best?.constants);
    assert.deepEqual(rest.model.constants, whole.model.constants);
    assert.deepEqual(told, reports.slice(reports.length - told.length));
  }
});

test("the signal ends a run after a step, with a checkpoint", async () => {
  const abort = new AbortController();
  const saved: number[] = [];
  const { state } = await run({
    signal: abort.signal,
    checkpoint: { every: 100, save: ({ progress }) => void saved.push(progress.step) },
    onStep: ({ step }) => step === 3 && abort.abort(),
  });
  assert.equal(state.progress.ended, null);
  assert.deepEqual(saved, [3]);
});

/** Gives these values in turn. */
function scripted(values: readonly number[], metric: Evaluator["metric"]): Evaluator {
  const left = [...values];
  return { metric, run: async () => left.shift()! };
}

test("early stopping: the best model is kept", async () => {
  const seen: boolean[] = [];
  let second: Float32Array | undefined;
  const { state, best } = await run({
    evaluation: { evaluator: scripted([50, 60, 60, 59, 99], "accuracy"), every: 2, patience: 2 },
    onEvaluation: ({ isBest }) => seen.push(isBest),
    checkpoint: {
      every: 4,
      save: ({ progress, state: s }) => {
        if (progress.step === 4) second = s.get("fc3.weight") as Float32Array;
      },
    },
  });
  assert.deepEqual(seen, [true, true, false, false]);
  const { step, ended, best: which, stale } = state.progress;
  assert.deepEqual([step, ended, which, stale], [8, "early", { step: 4, value: 60 }, 2]);
  const weight = [...best!.values].find(([, info]) => info.name === "fc3.weight")![0];
  assert.deepEqual(best!.constants.get(weight)!.data, second);
  assert.notDeepEqual(state.state.get("fc3.weight"), second);
});

test("early stopping: less is better for errors, by at least minDelta", async () => {
  const { state } = await run({
    evaluation: {
      evaluator: scripted([1, 0.5, 0.495], "mse"),
      every: 2,
      patience: 1,
      minDelta: 0.01,
    },
  });
  assert.deepEqual(state.progress.best, { step: 4, value: 0.5 });
  assert.equal(state.progress.step, 6);
});

function scale(image: Float32Array, by: number): void {
  for (let i = 0; i < image.length; i++) image[i]! *= by;
}

const diverges = (given: Run, message: RegExp, hint: RegExp): Promise<void> =>
  assert.rejects(run(given), (e) => {
    assert.ok(e instanceof UserError, String(e));
    assert.equal(e.code, "E_DIVERGED");
    assert.match(e.message, message);
    assert.match(e.hint ?? "", hint);
    return true;
  });

test("a batch that is not finite is named as such", () =>
  diverges(
    {
      train: source((image, step) => {
        if (step === 9) image[5] = Number.NaN;
      }),
    },
    /^step 10: the loss is NaN; input 'image' of this batch holds values/,
    /check the data/,
  ));

test("values that overflow: the first layer is named", async () => {
  const train = source((image, step) => {
    if (step === 3) for (let i = 0; i < image.length; i++) image[i] = 3e38;
  });
  await diverges(
    { train },
    /^step 4: the loss is NaN; the values of layer 'conv1' \(conv\)/,
    /rate/,
  );
});

test("a rate that is too high: the step and a layer, and lower it", async () => {
  const optimizer = sgd({ momentum: 0 });
  await diverges(
    { optimizer, schedule: constantRate(1e30) },
    /^step 2: the loss is NaN; the values of layer 'conv2' \(conv\) are the first/,
    /lower the rate \(now 1e\+30\)/,
  );
});

test("a gradient that overflows behind a finite loss is named, and never saved", async () => {
  const saved: number[] = [];
  // Huge pixels times tiny weights are usual values, but gradients of those weights are pixels times something.
  const constants = new Map(lenet5({ batch: BATCH, seed: 2 }).constants);
  const model = { ...lenet5({ batch: BATCH, seed: 2 }), constants };
  const shrink = (name: string, by: number): void => {
    const [v] = [...model.values].find(([, info]) => info.name === name)!;
    const data = (constants.get(v)!.data as Float32Array).map((x) => x * by);
    constants.set(v, { ...constants.get(v)!, data });
  };
  shrink("conv1.weight", 1e-42);
  shrink("conv2.weight", 1e4);
  const train = source((image) => scale(image, 3e38));
  const given = {
    model,
    train,
    checkpoint: { every: 1, save: ({ progress }: LoopState) => void saved.push(progress.step) },
  };
  const gradient =
    /^step 1: the loss is 2\.\d+; the gradient of layer 'conv1' \(\w+\) is the first/;
  await diverges({ ...given, optimizer: sgd() }, gradient, /rate/);
  // Adam squares them.
  const update =
    /^step 1: the loss is 2\.\d+; the gradient or update of 'conv1\.weight' is the first/;
  await diverges({ ...given, train: source((image) => scale(image, 3e33)) }, update, /rate/);
  assert.deepEqual(saved, []);
});

test("a loss that runs away without overflow: the layer with the largest values", () =>
  diverges(
    {
      train: source((image, step) => {
        if (step === 2) for (let i = 0; i < image.length; i++) image[i] = 1e9 * (i % 3);
      }),
    },
    /^step 3: the loss is \d.*; the values of layer 'conv2' \(conv\) are the largest, up to \d\.\d+e\+9$/,
    /check data/,
  ));

test("a run with a hook that fails is repeated with the hook", async () => {
  const calls: number[] = [];
  await diverges(
    {
      // The same state, handed over anew.
      between: ({ step, state }) => {
        calls.push(step);
        return step % 2 === 0 ? state() : null;
      },
      train: source((image, step) => {
        if (step === 4) image[5] = Number.NaN;
      }),
    },
    /^step 5: the loss is NaN; input 'image' of this batch holds values/,
    /check the data/,
  );
  assert.deepEqual(calls, [0, 1, 2, 3, 4, 1, 2, 3, 4]);
});
