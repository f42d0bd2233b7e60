/** @file A tiny network in the loop, for tests of sparse training. */
import type { Graph } from "../../src/graph/graph.ts";
import type { BatchSource } from "../../src/train/batches.ts";
import type { StateHook } from "../../src/train/between.ts";
import { decodeCheckpoint, encodeCheckpoint } from "../../src/train/checkpoint.ts";
import { fit, type LoopState } from "../../src/train/loop.ts";
import { crossEntropy } from "../../src/train/losses.ts";
import { Net } from "../../src/train/net.ts";
import { type Optimizer, sgd } from "../../src/train/optimizers.ts";
import { constantRate } from "../../src/train/schedules.ts";
import { type StepOptions, type TrainingStep, trainingStep } from "../../src/train/step.ts";
import { createTrainer } from "../../src/train/trainer.ts";
import { makeRng } from "../../src/util/rng.ts";

export const BATCH = 8;
const CLASSES = 3;
const PIXELS = 6 * 6 * 4;

/** A convolution of 4 to 8 channels and a head of 3 classes. */
export function tinyNet(): Graph {
  const net = new Net("tiny", { seed: 3 });
  const x = net.input("image", [BATCH, 6, 6, 4]);
  const h = net.relu(net.conv2d(x, 8, "conv", { bias: true }));
  return net.build(net.linear(net.globalPool(h), CLASSES, "head"));
}

/** Batches of noise whose mean tells the class; they depend on the step alone. */
export const tinyBatches: BatchSource = {
  rows: BATCH,
  batchesPerEpoch: 5,
  batch: async (step) => {
    const rng = makeRng(step + 1);
    const image = Float32Array.from({ length: BATCH * PIXELS }, () => rng.normal());
    const target = new Float32Array(BATCH * CLASSES);
    const labels = Array.from({ length: BATCH }, () => rng.int(CLASSES));
    labels.forEach((label, row) => {
      for (let i = 0; i < PIXELS; i++) image[row * PIXELS + i]! += label - 1;
      target[row * CLASSES + label] = 1;
    });
    return { feeds: { image, target }, labels };
  },
  close: async () => {},
};

export interface TinyRun {
  readonly stepOptions: Partial<StepOptions>;
  readonly optimizer?: Optimizer;
  readonly steps: number;
  readonly between?: (training: TrainingStep) => StateHook;
  readonly from?: LoopState;
  readonly threads?: number;
  /** Keeps states every so many steps, as they come back from a file; default none. */
  readonly saveEvery?: number;
}

/** The loss of the tiny network. */
export const tinyLoss: StepOptions["loss"] = ({ g, outputs, input }) =>
  crossEntropy(g, Object.values(outputs)[0]!, input("target", [BATCH, CLASSES]));

/** Trains the tiny network; the last state, those kept on the way, and the model. */
export async function fitTiny(run: TinyRun) {
  const { optimizer = sgd({ momentum: 0.9 }), steps, between, from, threads = 1, saveEvery } = run;
  const graph = tinyNet();
  const step = trainingStep(graph, { optimizer, loss: tinyLoss, decay: 1e-3, ...run.stepOptions });
  const trainer = await createTrainer(graph, step, optimizer, { threads });
  const saved: LoopState[] = [];
  const identity = { settings: null, layers: "", weights: "" };
  const save = (loop: LoopState): void => {
    const bytes = encodeCheckpoint({ identity, loop, finished: false });
    saved.push(decodeCheckpoint(bytes, "memory").loop);
  };
  try {
    const { state, model } = await fit({
      ...{ step, optimizer, trainer, train: tinyBatches, steps, schedule: constantRate(0.05) },
      ...(between !== undefined && { between: between(step) }),
      ...(from !== undefined && { from }),
      ...(saveEvery !== undefined && { checkpoint: { every: saveEvery, save } }),
    });
    return { state, model, saved, step };
  } finally {
    trainer.close();
  }
}
