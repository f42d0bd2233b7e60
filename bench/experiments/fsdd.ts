/**
 * @file Trains DS-CNN on spoken digits (FSDD, 8 kHz), MFCC computed by the model itself, and checks the exported
 * model in ONNX Runtime from raw samples to logits. Writes a log of JSON lines.
 *
 *   node bench/experiments/fsdd.ts --data FOLDER [--engine native] [--epochs n] [--seed n] [--log FILE] [--save FILE]
 *   node bench/experiments/fsdd.ts --data FOLDER --validate   chooses settings: recordings 5 to 9 of the training
 *                                                            files are held back, the test file is not read
 */
import { appendFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { InferenceSession, Tensor as OrtTensor } from "onnxruntime-node";
import { machineInfo } from "../../cli/measure.ts";
import { openSource } from "../../src/data/node.ts";
import type { Graph } from "../../src/graph/graph.ts";
import { nativeEngine } from "../../src/native/index.ts";
import { cleanGraph, compile, toOnnx } from "../../src/pipeline.ts";
import { createSession } from "../../src/runtime/session.ts";
import { tensorOf } from "../../src/tensor/tensor.ts";
import { readSounds } from "../../src/train/data/read.ts";
import { type SoundSet, subset } from "../../src/train/data/sets.ts";
import { evaluationBatches } from "../../src/train/data/source.ts";
import { wasmEngine } from "../../src/train/engine.ts";
import { type MfccOptions, mfcc } from "../../src/train/features.ts";
import { crossEntropy } from "../../src/train/losses.ts";
import { dsCnn } from "../../src/train/models/ds-cnn.ts";
import { prefetchedBatches } from "../../src/train/node/prefetch.ts";
import { adam } from "../../src/train/optimizers.ts";
import { oneCycle } from "../../src/train/schedules.ts";
import { trainingStep } from "../../src/train/step.ts";
import { createTrainer } from "../../src/train/trainer.ts";
import { withBatch } from "../../src/train/with-batch.ts";

const { values: flags } = parseArgs({
  options: {
    data: { type: "string" },
    validate: { type: "boolean", default: false },
    epochs: { type: "string", default: "12" },
    seed: { type: "string", default: "1" },
    engine: { type: "string", default: "wasm" },
    rate: { type: "string", default: "0.005" },
    log: { type: "string" },
    save: { type: "string" },
  },
});
if (flags.data === undefined) {
  console.error("usage: fsdd.ts --data FOLDER, which has train.parquet and test.parquet");
  process.exit(2);
}

/** A second; recordings have 0.43 s on average. */
const LENGTH = 8000;
const BATCH = 50;
const FEATURES: MfccOptions = {
  sampleRate: 8000,
  frame: 256,
  hop: 160,
  bands: 40,
  low: 20,
  high: 4000,
  coefficients: 10,
};
const AUGMENT = { timeShift: 800, gain: 6, noise: 0.005 };
const SMOOTHING = 0.1;
const DECAY = 0.01;
const [epochs, seed, rate] = [flags.epochs, flags.seed, flags.rate].map(Number) as [
  number,
  number,
  number,
];

function write(line: object): void {
  const text = JSON.stringify(line);
  console.log(text);
  if (flags.log !== undefined) appendFileSync(flags.log, `${text}\n`);
}

/** Recordings 5 to 9 of each speaker and digit; training files have 45 of each, in order. */
const heldBack = (row: number): boolean => row % 45 < 5;

async function readSets(folder: string): Promise<readonly [train: SoundSet, evaluation: SoundSet]> {
  const all = await readSounds(await openSource(join(folder, "train.parquet")));
  if (!flags.validate) {
    return [all, await readSounds(await openSource(join(folder, "test.parquet")))];
  }
  const rows = Array.from({ length: all.count }, (_, i) => i);
  return [
    subset(
      all,
      rows.filter((r) => !heldBack(r)),
    ),
    subset(all, rows.filter(heldBack)),
  ];
}

const largest = (v: Float32Array): number => v.indexOf(Math.max(...v));

interface Verdict {
  /** Per cent. */
  readonly accuracy: number;
  readonly logits: readonly Float32Array[];
}

/** All recordings of a set, one by one, through what gives logits. */
async function evaluate(
  set: SoundSet,
  run: (x: Float32Array) => Float32Array | Promise<Float32Array>,
): Promise<Verdict> {
  const source = evaluationBatches(set, { batch: 1, length: LENGTH });
  const logits: Float32Array[] = [];
  let right = 0;
  for (let i = 0; i < source.batchesPerEpoch; i++) {
    const { feeds, labels } = await source.batch(i);
    const y = (await run(feeds["sound"] as Float32Array)).slice();
    if (largest(y) === labels[0]) right++;
    logits.push(y);
  }
  return { accuracy: Math.round((10000 * right) / set.count) / 100, logits };
}

async function byWasm(graph: Graph, set: SoundSet): Promise<Verdict> {
  const session = await createSession(compile(cleanGraph(graph)).program);
  const verdict = await evaluate(
    set,
    (x) => session.run([tensorOf("f32", [1, LENGTH], x)])[0]!.data as Float32Array,
  );
  session.close();
  return verdict;
}

async function byOnnxRuntime(file: Uint8Array, set: SoundSet): Promise<Verdict> {
  const session = await InferenceSession.create(file);
  const verdict = await evaluate(set, async (x) => {
    const feed = new OrtTensor("float32", Float32Array.from(x), [1, LENGTH]);
    const result = await session.run({ sound: feed });
    return result["logits"]!.data as Float32Array;
  });
  await session.release();
  return verdict;
}

if (flags.log !== undefined) writeFileSync(flags.log, "");
const [train, evaluation] = await readSets(flags.data);
const trainee = dsCnn({
  batch: BATCH,
  classes: 10,
  seed,
  input: "sound",
  front: { shape: [BATCH, LENGTH], features: (net, x) => mfcc(net.graph, x, FEATURES) },
});
const optimizer = adam({ decoupled: true });
const step = trainingStep(trainee, {
  optimizer,
  loss: ({ g, outputs, input }) =>
    crossEntropy(g, outputs["logits"]!, input("target", [BATCH, 10])),
  decay: (parameter) => (/weight/.test(parameter) ? DECAY : 0),
});
const engine = flags.engine === "native" ? await nativeEngine() : wasmEngine;
const trainer = await createTrainer(trainee, step, optimizer, { threads: 1, engine });
const options = { batch: BATCH, seed, length: LENGTH, smoothing: SMOOTHING, ...AUGMENT };
const source = prefetchedBatches(train, options, { workers: 1 });
const perEpoch = source.batchesPerEpoch;
const schedule = oneCycle(rate, epochs * perEpoch);
write({
  task: flags.validate ? "fsdd-ds-cnn, recordings 5 to 9 held back" : "fsdd-ds-cnn",
  epochs,
  batch: BATCH,
  rate,
  decay: DECAY,
  smoothing: SMOOTHING,
  augment: AUGMENT,
  features: FEATURES,
  length: LENGTH,
  seed,
  threads: trainer.threads,
  engine: engine.name,
  machine: machineInfo(),
  recordings: [train.count, evaluation.count],
});
const begun = performance.now();
const seconds = (since: number): number => Math.round((performance.now() - since) / 100) / 10;
for (let epoch = 0; epoch < epochs; epoch++) {
  const start = performance.now();
  let loss = 0;
  for (let i = 0; i < perEpoch; i++) {
    const n = epoch * perEpoch + i;
    const { feeds } = await source.batch(n);
    loss += trainer.step(feeds, schedule(n)).loss / perEpoch;
  }
  write({ epoch: epoch + 1, loss: Math.round(loss * 1e4) / 1e4, seconds: seconds(start) });
}
await source.close();
// A model for single recordings.
const trained = withBatch(trainer.model(), 1);
trainer.close();
const totalSeconds = seconds(begun);
const ours = await byWasm(trained, evaluation);
const file = toOnnx(cleanGraph(trained));
if (flags.save !== undefined) writeFileSync(flags.save, file);
const theirs = await byOnnxRuntime(file, evaluation);
const difference = Math.max(
  ...ours.logits.map((y, i) => Math.max(...y.map((v, j) => Math.abs(v - theirs.logits[i]![j]!)))),
);
write({
  totalSeconds,
  [flags.validate ? "validationAccuracy" : "testAccuracy"]: ours.accuracy,
  onnxRuntimeAccuracy: theirs.accuracy,
  largestLogitDifference: difference,
  onnxBytes: file.length,
});
