/**
 * @file Trains a small network on CIFAR-10 from scratch, with a teacher's attention (AT), and with its softened outputs
 * (KD): the same initial weights and batches for all methods of a seed, so that differences are paired. Writes JSON
 * lines: settings, one line an epoch, one a run, a summary.
 *
 *   node bench/experiments/distil.ts --teacher wrn-16-2.onnx --data FOLDER --student wrn-10-1 --seeds 1,2,3
 *     --epochs 20 --rows 50000 --methods scratch,at,kd --engine native --threads 2 --log FILE [--save FOLDER]
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { machineInfo } from "../../cli/measure.ts";
import type { Graph } from "../../src/graph/graph.ts";
import { loadModel, toOnnx } from "../../src/pipeline.ts";
import { type DistilOptions, distil } from "../../src/train/distil.ts";
import { resnet8 } from "../../src/train/models/resnet8.ts";
import { wideResnet } from "../../src/train/models/wide-resnet.ts";
import { prefetchedBatches } from "../../src/train/node/prefetch.ts";
import { sgd } from "../../src/train/optimizers.ts";
import { cosineRate, oneCycle } from "../../src/train/schedules.ts";
import { trainingStep } from "../../src/train/step.ts";
import { createTrainer } from "../../src/train/trainer.ts";
import { withBatch } from "../../src/train/with-batch.ts";
import { UserError } from "../../src/util/errors.ts";
import { CIFAR10 } from "./cifar10.ts";
import {
  accuracy,
  engineNamed,
  lineWriter,
  pairedSummary,
  rounded,
  secondsSince,
  some,
  trainSteps,
} from "./run.ts";

const { values: flags } = parseArgs({
  options: {
    teacher: { type: "string" },
    data: { type: "string" },
    student: { type: "string", default: "wrn-10-1" },
    seeds: { type: "string", default: "1,2,3" },
    epochs: { type: "string", default: "20" },
    rows: { type: "string", default: "50000" },
    methods: { type: "string", default: "scratch,at,kd" },
    alpha: { type: "string", default: "0.9" },
    temperature: { type: "string", default: "4" },
    beta: { type: "string", default: "1000" },
    schedule: { type: "string", default: "one-cycle" },
    rate: { type: "string", default: "0.1" },
    engine: { type: "string", default: "wasm" },
    threads: { type: "string", default: "2" },
    save: { type: "string" },
    log: { type: "string" },
  },
});
if (flags.teacher === undefined || flags.data === undefined) {
  console.error(
    "usage: distil.ts --teacher MODEL --data FOLDER [--student wrn-10-1] [--seeds 1,2,3] ...",
  );
  process.exit(2);
}

const [alpha, temperature, beta] = [flags.alpha, flags.temperature, flags.beta].map(Number) as [
  number,
  number,
  number,
];

const METHODS: Readonly<Record<string, DistilOptions>> = {
  scratch: {},
  at: { beta },
  kd: { alpha, temperature },
  "at+kd": { alpha, temperature, beta },
};

function methodNamed(name: string): DistilOptions {
  const method = METHODS[name];
  if (method !== undefined) return method;
  const hint = `methods: ${Object.keys(METHODS).join(", ")}`;
  throw new UserError("E_ARGUMENT", `unknown method '${name}'`, { hint });
}

const { batch, mean, std, augment } = CIFAR10;

function studentNamed(name: string, seed: number): Graph {
  if (name === "resnet8") return resnet8({ batch, seed });
  const [, depth, width] = /^wrn-(\d+)-(\d+)$/.exec(name) ?? [];
  if (depth !== undefined) {
    return wideResnet({ depth: Number(depth), width: Number(width), batch, seed });
  }
  throw new UserError("E_ARGUMENT", `unknown student '${name}'`, {
    hint: "wrn-DEPTH-WIDTH or resnet8",
  });
}

const MOMENTUM = 0.9;
const DECAY = 5e-4;

const epochs = Number(flags.epochs);
const threads = Number(flags.threads);
const rate = Number(flags.rate);
const seeds = flags.seeds.split(",").map(Number);
const methods = flags.methods.split(",");
for (const name of methods) methodNamed(name);
const teacher = withBatch(loadModel(readFileSync(flags.teacher)).graph, batch);
if (flags.log !== undefined) writeFileSync(flags.log, "");
if (flags.save !== undefined) mkdirSync(flags.save, { recursive: true });
const write = lineWriter(flags.log);
const engine = await engineNamed(flags.engine);
const whole = await CIFAR10.read(flags.data);
const sets = { train: some(whole.train, Number(flags.rows)), test: whole.test };
const evaluation = { batch, mean, std, threads };
const perEpoch = Math.floor(sets.train.count / batch);
const steps = epochs * perEpoch;
const schedule = flags.schedule === "cosine" ? cosineRate(rate, steps) : oneCycle(rate, steps);

write({
  experiment: "distil",
  student: flags.student,
  teacher: {
    name: teacher.name,
    testAccuracy: rounded(await accuracy(teacher, sets.test, evaluation), 2),
  },
  methods: Object.fromEntries(methods.map((m) => [m, methodNamed(m)])),
  seeds,
  epochs,
  rows: sets.train.count,
  test: sets.test.count,
  batch,
  rate,
  schedule: flags.schedule,
  momentum: MOMENTUM,
  decay: DECAY,
  augment,
  engine: engine.name,
  threads,
  machine: machineInfo(),
});

/** Trains one student; its accuracy on the test pictures, in per cent. */
async function runOne(seed: number, method: string): Promise<number> {
  const student = studentNamed(flags.student, seed);
  const optimizer = sgd({ momentum: MOMENTUM });
  const options = methodNamed(method);
  const taught = (options.alpha ?? 0) !== 0 || (options.beta ?? 0) !== 0;
  const step = trainingStep(student, {
    optimizer,
    loss: distil(options),
    decay: (name) => (/weight/.test(name) ? DECAY : 0),
    ...(taught && { teacher }),
  });
  const trainer = await createTrainer(student, step, optimizer, { threads, engine });
  const batches = prefetchedBatches(sets.train, { batch, seed, mean, std, ...augment });
  const begun = performance.now();
  for (let epoch = 0; epoch < epochs; epoch++) {
    const start = performance.now();
    const loss = await trainSteps(trainer, batches, schedule, epoch * perEpoch, perEpoch);
    const seconds = secondsSince(start);
    write({ seed, method, epoch: epoch + 1, loss: rounded(loss, 4), seconds });
  }
  const trained = trainer.model();
  trainer.close();
  await batches.close();
  const testAccuracy = rounded(await accuracy(trained, sets.test, evaluation), 2);
  write({ seed, method, testAccuracy, totalSeconds: secondsSince(begun) });
  if (flags.save !== undefined) {
    writeFileSync(join(flags.save, `${flags.student}-${method}-${seed}.onnx`), toOnnx(trained));
  }
  return testAccuracy;
}

const errors = new Map<string, number[]>(methods.map((m) => [m, []]));
for (const seed of seeds) {
  for (const method of methods) errors.get(method)!.push(100 - (await runOne(seed, method)));
}
const [reference] = methods;
write({ summary: pairedSummary(errors, reference!), against: reference });
