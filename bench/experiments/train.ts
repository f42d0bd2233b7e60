/**
 * @file Trains a model on pictures from scratch and writes a log of JSON lines: settings, one line an epoch, result.
 *
 *   node bench/experiments/train.ts mnist-lenet5 --data FOLDER [--epochs n] [--seed n] [--threads n] [--log FILE]
 *   node bench/experiments/train.ts cifar10-resnet8 --data FOLDER --engine native --save resnet8.onnx
 */
import { appendFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { machineInfo } from "../../cli/measure.ts";
import type { Graph } from "../../src/graph/graph.ts";
import { toOnnx } from "../../src/index.ts";
import { nativeEngine } from "../../src/native/index.ts";
import { cleanGraph, compile } from "../../src/pipeline.ts";
import { createSession } from "../../src/runtime/session.ts";
import { tensorOf } from "../../src/tensor/tensor.ts";
import { wasmEngine } from "../../src/train/engine.ts";
import { crossEntropy } from "../../src/train/losses.ts";
import { lenet5 } from "../../src/train/models/lenet5.ts";
import { resnet8 } from "../../src/train/models/resnet8.ts";
import { wideResnet } from "../../src/train/models/wide-resnet.ts";
import { sgd } from "../../src/train/optimizers.ts";
import {
  type AugmentOptions,
  batchesPerEpoch,
  evaluationBatches,
  type PictureSet,
  pictureBatches,
} from "../../src/train/pictures.ts";
import { oneCycle } from "../../src/train/schedules.ts";
import { trainingStep } from "../../src/train/step.ts";
import { createTrainer } from "../../src/train/trainer.ts";
import { readMnist, readPictures } from "./pictures.ts";

interface Sets {
  readonly train: PictureSet;
  readonly test: PictureSet;
}

interface Task {
  read(folder: string): Promise<Sets>;
  model(options: { readonly batch: number; readonly seed: number }): Graph;
  readonly batch: number;
  readonly epochs: number;
  /** The highest learning rate of one cycle. */
  readonly rate: number;
  readonly decay: number;
  readonly mean: readonly number[];
  readonly std: readonly number[];
  readonly augment: AugmentOptions;
}

const mnist = async (folder: string): Promise<Sets> => ({
  train: readMnist(folder, "train"),
  test: readMnist(folder, "t10k"),
});

const cifar10 = async (folder: string): Promise<Sets> => ({
  train: await readPictures(join(folder, "train.parquet")),
  test: await readPictures(join(folder, "test.parquet")),
});

const CIFAR10 = {
  read: cifar10,
  batch: 128,
  mean: [0.4914, 0.4822, 0.4465],
  std: [0.2023, 0.1994, 0.201],
  augment: { shift: 4, mirror: true },
};

const TASKS: Readonly<Record<string, Task>> = {
  "mnist-lenet5": {
    read: mnist,
    model: lenet5,
    batch: 64,
    epochs: 8,
    rate: 0.05,
    decay: 5e-4,
    mean: [0.1307],
    std: [0.3081],
    augment: { shift: 2 },
  },
  "cifar10-resnet8": { ...CIFAR10, model: resnet8, epochs: 25, rate: 0.2, decay: 5e-4 },
  "cifar10-wrn-16-2": {
    ...CIFAR10,
    model: (o) => wideResnet({ depth: 16, width: 2, ...o }),
    epochs: 16,
    rate: 0.2,
    decay: 5e-4,
  },
};

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    data: { type: "string" },
    epochs: { type: "string" },
    seed: { type: "string", default: "1" },
    threads: { type: "string", default: "2" },
    engine: { type: "string", default: "wasm" },
    save: { type: "string" },
    log: { type: "string" },
  },
});
const name = positionals[0] ?? "";
const task = TASKS[name];
if (task === undefined || flags.data === undefined) {
  console.error(`usage: train.ts TASK --data FOLDER; tasks: ${Object.keys(TASKS).join(", ")}`);
  process.exit(2);
}

function write(line: object): void {
  const text = JSON.stringify(line);
  console.log(text);
  if (flags.log !== undefined) appendFileSync(flags.log, `${text}\n`);
}

/** Share of the pictures whose largest output is their class, in per cent. */
async function accuracy(model: Graph, set: PictureSet, batch: number): Promise<number> {
  const session = await createSession(compile(cleanGraph(model)).program, { threads });
  const { type } = model.values.get(model.inputs[0]!)!;
  let right = 0;
  for (const { image, labels } of evaluationBatches(set, { batch, mean, std })) {
    const logits = session.run([tensorOf("f32", type.shape, image)])[0]!.data as Float32Array;
    labels.forEach((label, i) => {
      const row = logits.subarray(i * set.classes, (i + 1) * set.classes);
      if (row.indexOf(Math.max(...row)) === label) right++;
    });
  }
  session.close();
  return (100 * right) / set.count;
}

const { batch, rate, decay, mean, std, augment } = task;
const seed = Number(flags.seed);
const threads = Number(flags.threads);
const epochs = Number(flags.epochs ?? task.epochs);
if (flags.log !== undefined) writeFileSync(flags.log, "");
const sets = await task.read(flags.data);
const model = task.model({ batch, seed });
const optimizer = sgd({ momentum: 0.9, nesterov: true });
const classes = sets.train.classes;
const step = trainingStep(model, {
  optimizer,
  loss: ({ g, outputs, input }) =>
    crossEntropy(g, outputs["logits"]!, input("target", [batch, classes])),
  decay: (parameter) => (/weight/.test(parameter) ? decay : 0),
});
const engine = flags.engine === "native" ? await nativeEngine() : wasmEngine;
const trainer = await createTrainer(model, step, optimizer, { threads, engine });
const next = pictureBatches(sets.train, { batch, seed, mean, std, ...augment });
const perEpoch = batchesPerEpoch(sets.train, batch);
const schedule = oneCycle(rate, epochs * perEpoch);
const settings = {
  task: name,
  epochs,
  batch,
  rate,
  decay,
  augment,
  seed,
  threads,
  engine: trainer.engine,
};
write({ ...settings, machine: machineInfo(), pictures: [sets.train.count, sets.test.count] });
const begun = performance.now();
const seconds = (since: number): number => Math.round((performance.now() - since) / 100) / 10;
for (let epoch = 0; epoch < epochs; epoch++) {
  const start = performance.now();
  let loss = 0;
  for (let i = 0; i < perEpoch; i++) {
    const n = epoch * perEpoch + i;
    const { image, target } = next(n);
    loss += trainer.step({ image, target }, schedule(n)).loss / perEpoch;
    if (Number.isFinite(loss)) continue;
    console.error(`step ${n}: the loss is ${loss}; try a lower learning rate than ${schedule(n)}`);
    process.exit(1);
  }
  const took = seconds(start);
  const test = epoch % 5 === 4 || epoch === epochs - 1;
  const line = {
    epoch: epoch + 1,
    loss: Math.round(loss * 1e4) / 1e4,
    seconds: took,
    picturesPerSecond: Math.round((perEpoch * batch) / took),
  };
  if (!test) write(line);
  else {
    const top1 = await accuracy(trainer.model(), sets.test, batch);
    write({ ...line, testAccuracy: Math.round(top1 * 100) / 100 });
  }
}
write({ totalSeconds: seconds(begun) });
if (flags.save !== undefined) writeFileSync(flags.save, toOnnx(trainer.model()));
trainer.close();
