/**
 * @file Quantises a trained float network after and during training, and writes a log of JSON lines: settings, then
 * one line an experiment.
 *
 *   node bench/experiments/qat.ts MODEL.onnx --data FOLDER [--cases float,ptq8,...] [--epochs n] [--rate r]
 *     [--holdout n] [--engine native] [--threads n] [--seed n] [--log FILE] [--save FOLDER]
 *
 * `--holdout n` leaves out the last n training pictures and evaluates on them instead of the test set: for choosing
 * settings.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { machineInfo } from "../../cli/measure.ts";
import {
  type CalibrationStats,
  collectStats,
  layerMap,
  layerName,
  type QuantizeOptions,
  quantizeGraph,
} from "../../src/compress/quantize/index.ts";
import type { Graph } from "../../src/graph/graph.ts";
import { compiledExecutor } from "../../src/optimize/executor.ts";
import { runPasses, toLayout } from "../../src/passes/index.ts";
import { cleanGraph, loadModel, toOnnx } from "../../src/pipeline.ts";
import { tensorOf } from "../../src/tensor/tensor.ts";
import { evaluationBatches } from "../../src/train/data/source.ts";
import { crossEntropy } from "../../src/train/losses.ts";
import { prefetchedBatches } from "../../src/train/node/prefetch.ts";
import { sgd } from "../../src/train/optimizers.ts";
import { convertQat } from "../../src/train/qat/convert.ts";
import { prepareQat, type QatOptions } from "../../src/train/qat/prepare.ts";
import { cosineRate } from "../../src/train/schedules.ts";
import { trainingStep } from "../../src/train/step.ts";
import { createTrainer } from "../../src/train/trainer.ts";
import { withBatch } from "../../src/train/with-batch.ts";
import { CIFAR10 } from "./cifar10.ts";
import { percentEqual, predictions } from "./predict.ts";
import { engineNamed, heldOut, lineWriter, rounded, secondsSince, trainSteps } from "./run.ts";

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    data: { type: "string" },
    cases: { type: "string", default: "float,ptq8,ptq-w4,qat8,lsq-w4" },
    epochs: { type: "string", default: "4" },
    rate: { type: "string", default: "0.01" },
    decay: { type: "string", default: "1e-4" },
    holdout: { type: "string", default: "0" },
    engine: { type: "string", default: "wasm" },
    threads: { type: "string", default: "1" },
    seed: { type: "string", default: "1" },
    log: { type: "string" },
    save: { type: "string" },
  },
});
const [path] = positionals;
if (path === undefined || flags.data === undefined) {
  console.error("usage: qat.ts MODEL.onnx --data FOLDER");
  process.exit(2);
}

const { batch, mean, std, augment } = CIFAR10;
const CALIBRATION_BATCHES = 16;

const write = lineWriter(flags.log);
const holdout = Number(flags.holdout);
const { train, test: unseen } = heldOut(await CIFAR10.read(flags.data), holdout);
const threads = Number(flags.threads);
const seed = Number(flags.seed);
const epochs = Number(flags.epochs);
const rate = Number(flags.rate);
const decay = Number(flags.decay);
const imported = withBatch(cleanGraph(loadModel(readFileSync(path)).graph), batch);
const float = cleanGraph(runPasses(imported, [toLayout("nhwc")]));
const output = float.outputNames[0]!;
const engine = await engineNamed(flags.engine);

async function calibrate(): Promise<CalibrationStats> {
  const feeds = [];
  const source = evaluationBatches(train, { batch, mean, std });
  for (let i = 0; i < CALIBRATION_BATCHES; i++) {
    const image = (await source.batch(i)).feeds["image"]!.slice() as Float32Array;
    feeds.push([tensorOf("f32", [batch, train.height, train.width, train.channels], image)]);
  }
  return collectStats(float, compiledExecutor(), feeds);
}

const predict = (model: Graph): Promise<Uint8Array> =>
  predictions(model, unseen, { mean, std }, threads);
const accuracy = async (model: Graph): Promise<number> =>
  percentEqual(await predict(model), unseen.labels);

/** The model after training with fake quantisers. */
async function trained(name: string, model: Graph): Promise<Graph> {
  const batches = prefetchedBatches(train, { batch, seed, mean, std, ...augment });
  const perEpoch = batches.batchesPerEpoch;
  const optimizer = sgd({ momentum: 0.9 });
  const step = trainingStep(model, {
    optimizer,
    loss: ({ g, outputs, input }) =>
      crossEntropy(g, outputs[output]!, input("target", [batch, train.classes])),
    decay,
    observe: { steps: perEpoch >> 1 },
  });
  const trainer = await createTrainer(model, step, optimizer, { threads, engine });
  const schedule = cosineRate(rate, epochs * perEpoch);
  for (let epoch = 0; epoch < epochs; epoch++) {
    const begun = performance.now();
    const loss = await trainSteps(trainer, batches, schedule, epoch * perEpoch, perEpoch);
    const took = secondsSince(begun);
    write({ case: name, epoch: epoch + 1, loss: rounded(loss, 4), seconds: took });
  }
  await batches.close();
  const result = trainer.model();
  trainer.close();
  return result;
}

/** Layers but the first and the last. */
function inner(g: Graph): (layer: string) => boolean {
  const layers = g.nodes.filter((n) => layerMap(g, n) !== null).map((n) => layerName(g, n));
  const edges = [layers[0], layers.at(-1)];
  return (layer) => !edges.includes(layer);
}

const stats = await calibrate();

async function afterTraining(name: string, options: QuantizeOptions): Promise<void> {
  write({ case: name, accuracy: await accuracy(quantizeGraph(float, stats, options)) });
}

async function duringTraining(name: string, options: QatOptions): Promise<void> {
  const begun = performance.now();
  const prepared = prepareQat(float, stats, options);
  const start = await accuracy(prepared);
  const model = await trained(name, prepared);
  const fake = await predict(model);
  const took = secondsSince(begun);
  const line = { case: name, start, accuracy: percentEqual(fake, unseen.labels) };
  if ((options.activationBits ?? 8) < 8) {
    write({ ...line, seconds: took });
    return;
  }
  const { graph, packedBytes } = convertQat(model, options);
  const integers = await predict(graph);
  write({
    ...line,
    integerAccuracy: percentEqual(integers, unseen.labels),
    samePredictions: percentEqual(integers, fake),
    packedBytes,
    seconds: took,
  });
  if (flags.save !== undefined) writeFileSync(join(flags.save, `${name}.onnx`), toOnnx(graph));
}

const innerBits =
  (bits: number) =>
  (layer: string): number =>
    isInner(layer) ? bits : 8;
const isInner = inner(float);
const least = { kind: "mse" } as const;

const CASES: Readonly<Record<string, (name: string) => Promise<void>>> = {
  float: async (name) => write({ case: name, accuracy: await accuracy(float) }),
  ptq8: (name) => afterTraining(name, {}),
  "ptq-w4": (name) => afterTraining(name, { weightBits: innerBits(4) }),
  "ptq-w4-all": (name) => afterTraining(name, { weightBits: () => 4 }),
  "ptq-w3": (name) => afterTraining(name, { weightBits: innerBits(3) }),
  "ptq-w2": (name) => afterTraining(name, { weightBits: innerBits(2) }),
  qat8: (name) => duringTraining(name, { scheme: "minmax" }),
  "lsq-w4": (name) => duringTraining(name, { scheme: "lsq", weightBits: 4, observer: least }),
  "lsq-w4-all": (name) =>
    duringTraining(name, { scheme: "lsq", weightBits: 4, edgeBits: 4, observer: least }),
  "lsq-w3": (name) => duringTraining(name, { scheme: "lsq", weightBits: 3, observer: least }),
  "lsq-w2": (name) => duringTraining(name, { scheme: "lsq", weightBits: 2, observer: least }),
  "minmax-w4": (name) => duringTraining(name, { scheme: "minmax", weightBits: 4 }),
  "lsq-w4a4": (name) =>
    duringTraining(name, { scheme: "lsq", weightBits: 4, activationBits: 4, observer: least }),
};

const cases = flags.cases.split(",");
const unknown = cases.find((name) => CASES[name] === undefined);
if (unknown !== undefined) {
  console.error(`no case '${unknown}'; there are ${Object.keys(CASES).join(", ")}`);
  process.exit(2);
}
if (flags.log !== undefined) writeFileSync(flags.log, "");
write({
  task: "qat",
  model: path.split("/").at(-1),
  ...{ cases, epochs, batch, rate, decay, augment, seed, threads, holdout },
  engine: engine.name,
  machine: machineInfo(),
  pictures: [train.count, unseen.count],
});
for (const name of cases) await CASES[name]!(name);
