/**
 * @file Trains a model on pictures from scratch and writes a log of JSON lines: settings, one line an epoch, result.
 *
 *   node bench/experiments/train.ts mnist-lenet5 --data FOLDER [--epochs n] [--seed n] [--threads n] [--log FILE]
 *   node bench/experiments/train.ts cifar10-resnet8 --data FOLDER --engine native --save resnet8.onnx
 */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { machineInfo } from "../../cli/measure.ts";
import type { Graph } from "../../src/graph/graph.ts";
import { toOnnx } from "../../src/index.ts";
import type { PictureOptions } from "../../src/train/data/pictures.ts";
import { crossEntropy } from "../../src/train/losses.ts";
import { lenet5 } from "../../src/train/models/lenet5.ts";
import { resnet8 } from "../../src/train/models/resnet8.ts";
import { wideResnet } from "../../src/train/models/wide-resnet.ts";
import { prefetchedBatches } from "../../src/train/node/prefetch.ts";
import { sgd } from "../../src/train/optimizers.ts";
import { oneCycle } from "../../src/train/schedules.ts";
import { trainingStep } from "../../src/train/step.ts";
import { createTrainer } from "../../src/train/trainer.ts";
import { withBatch } from "../../src/train/with-batch.ts";
import { CIFAR10, MNIST, type Sets } from "./cifar10.ts";
import { accuracy, engineNamed, lineWriter, rounded, secondsSince, trainSteps } from "./run.ts";

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
  readonly augment: Pick<PictureOptions, "shift" | "mirror" | "cutout">;
}

const TASKS: Readonly<Record<string, Task>> = {
  "mnist-lenet5": {
    ...MNIST,
    model: lenet5,
    epochs: 8,
    rate: 0.05,
    decay: 5e-4,
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

const write = lineWriter(flags.log);
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
const engine = await engineNamed(flags.engine);
const trainer = await createTrainer(model, step, optimizer, { threads, engine });
const batches = prefetchedBatches(sets.train, { batch, seed, mean, std, ...augment });
const perEpoch = batches.batchesPerEpoch;
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
for (let epoch = 0; epoch < epochs; epoch++) {
  const start = performance.now();
  const loss = await trainSteps(trainer, batches, schedule, epoch * perEpoch, perEpoch);
  const took = secondsSince(start);
  const test = epoch % 5 === 4 || epoch === epochs - 1;
  const line = {
    epoch: epoch + 1,
    loss: rounded(loss, 4),
    seconds: took,
    picturesPerSecond: Math.round((perEpoch * batch) / took),
  };
  if (!test) write(line);
  else {
    const top1 = await accuracy(trainer.model(), sets.test, { batch, mean, std, threads });
    write({ ...line, testAccuracy: rounded(top1, 2) });
  }
}
write({ totalSeconds: secondsSince(begun) });
if (flags.save !== undefined) {
  writeFileSync(flags.save, toOnnx(withBatch(trainer.model(), 1)));
}
trainer.close();
await batches.close();
