/** @file Quantisation-aware training from a float network to the integer model, on pictures that can be told apart. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { collectStats } from "../../compress/quantize/calibrate.ts";
import type { Executor, Graph } from "../../graph/graph.ts";
import { cleanGraph, compile, loadModel, toOnnx } from "../../pipeline.ts";
import { createSession } from "../../runtime/session.ts";
import { type Tensor, tensorOf } from "../../tensor/tensor.ts";
import { makeRng } from "../../util/rng.ts";
import type { PictureSet } from "../data/sets.ts";
import { evaluationBatches, trainingBatches } from "../data/source.ts";
import { crossEntropy } from "../losses.ts";
import { lenet5 } from "../models/lenet5.ts";
import { resnet8 } from "../models/resnet8.ts";
import { type Optimizer, sgd } from "../optimizers.ts";
import { trainingStep } from "../step.ts";
import { createTrainer, type Trainer } from "../trainer.ts";
import { convertQat } from "./convert.ts";
import { prepareQat, type QatOptions } from "./prepare.ts";
import { observing } from "./ranges.ts";

const BATCH = 16;
const CLASSES = 10;

/** Noise, and a bright square whose place is the class. */
function squares(count: number, side: number, channels: number, seed: number): PictureSet {
  const rng = makeRng(seed);
  const pixels = Uint8Array.from({ length: count * side * side * channels }, () => rng.int(120));
  const labels = Array.from({ length: count }, () => rng.int(CLASSES));
  const size = side >> 2;
  labels.forEach((label, n) => {
    const top = (label % 4) * (size - 1) + rng.int(3);
    const left = (label >> 2) * size + rng.int(3);
    for (let y = top; y < top + size; y++) {
      for (let x = left; x < left + size; x++) {
        const at = ((n * side + y) * side + x) * channels;
        pixels.fill(150 + rng.int(60), at, at + channels);
      }
    }
  });
  return { count, height: side, width: side, channels, classes: CLASSES, pixels, labels };
}

const NORMAL = { mean: [0.3, 0.3, 0.3], std: [0.2, 0.2, 0.2] };

/** The batches of an evaluation. */
async function images(set: PictureSet): Promise<readonly Float32Array[]> {
  const { mean, std } = NORMAL;
  const c = set.channels;
  const normal = { mean: mean.slice(0, c), std: std.slice(0, c) };
  const source = evaluationBatches(set, { batch: BATCH, ...normal });
  const all: Float32Array[] = [];
  for (let i = 0; i < source.batchesPerEpoch; i++) {
    all.push(((await source.batch(i)).feeds["image"] as Float32Array).slice());
  }
  return all;
}

async function run(graph: Graph, set: PictureSet): Promise<Float32Array[]> {
  const session = await createSession(compile(graph).program);
  const { type } = graph.values.get(graph.inputs[0]!)!;
  const outs: Float32Array[] = [];
  for (const image of await images(set)) {
    outs.push(session.run([tensorOf("f32", type.shape, image)])[0]!.data.slice() as Float32Array);
  }
  session.close();
  return outs;
}

const executor: Executor = async (graph, feeds) => {
  const session = await createSession(compile(graph).program);
  const outs = session.run(feeds);
  session.close();
  return outs;
};

const classesOf = (outs: readonly Float32Array[], count: number): number[] =>
  outs
    .flatMap((o) =>
      Array.from({ length: BATCH }, (_, i) => {
        const row = o.subarray(i * CLASSES, (i + 1) * CLASSES);
        return row.indexOf(Math.max(...row));
      }),
    )
    .slice(0, count);

const shareEqual = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Array.from(a).filter((v, i) => v === b[i]).length / a.length;

/** Trains a model for some steps. */
async function train(
  model: Graph,
  set: PictureSet,
  steps: number,
  rate: number,
  optimizer: Optimizer = sgd(),
  threads = 1,
): Promise<Trainer> {
  const step = trainingStep(model, {
    optimizer,
    loss: ({ g, outputs, input }) =>
      crossEntropy(g, outputs["logits"]!, input("target", [BATCH, CLASSES])),
  });
  const trainer = await createTrainer(model, step, optimizer, { threads });
  const { mean, std } = NORMAL;
  const c = set.channels;
  const normal = { mean: mean.slice(0, c), std: std.slice(0, c) };
  const batches = trainingBatches(set, { batch: BATCH, seed: 5, ...normal });
  for (let i = 0; i < steps; i++) trainer.step((await batches.batch(i)).feeds, rate);
  return trainer;
}

interface Start {
  readonly float: Graph;
  readonly train: PictureSet;
  readonly test: PictureSet;
  readonly accuracy: number;
  prepare(options: QatOptions): Promise<Graph>;
}

/** A float network, trained and cleaned up. */
async function start(model: Graph, side: number, channels: number, steps: number): Promise<Start> {
  const sets = [squares(320, side, channels, 1), squares(400, side, channels, 2)] as const;
  const trainer = await train(model, sets[0], steps, 0.02);
  const raw = trainer.model();
  const float = cleanGraph(raw);
  trainer.close();
  const outs = await run(float, sets[1]);
  const feeds: Tensor[][] = [];
  for (const image of (await images(sets[0])).slice(0, 4)) {
    feeds.push([tensorOf("f32", [BATCH, side, side, channels], image)]);
  }
  const stats = await collectStats(float, executor, feeds);
  return {
    float,
    train: sets[0],
    test: sets[1],
    accuracy: shareEqual(classesOf(outs, 400), sets[1].labels),
    prepare: async (options) => prepareQat(float, stats, options),
  };
}

const lenet = start(lenet5({ batch: BATCH, seed: 2 }), 28, 1, 60);
const resnet = start(resnet8({ batch: BATCH, seed: 2 }), 32, 3, 120);

const CASES: readonly (readonly [string, Promise<Start>, QatOptions])[] = [
  ["LeNet-5, min-max", lenet, { scheme: "minmax" }],
  ["ResNet-8, min-max", resnet, { scheme: "minmax" }],
  ["LeNet-5, learned 4 bits", lenet, { scheme: "lsq", weightBits: 4 }],
  ["ResNet-8, learned 4 bits", resnet, { scheme: "lsq", weightBits: 4 }],
  ["LeNet-5, min-max 2 bits", lenet, { scheme: "minmax", weightBits: 2 }],
];

for (const [name, from, options] of CASES) {
  test(`${name}: the integer model predicts what the trained one predicts`, async (t) => {
    const { prepare, train: set, test: unseen, accuracy } = await from;
    const qat = await prepare(options);
    const optimizer = observing(sgd(), { steps: 6, keep: 0.9 });
    const trainer = await train(qat, set, 16, 0.005, optimizer);
    const trained = trainer.model();
    trainer.close();
    const { graph, layers, packedBytes } = convertQat(trained, options);
    const fake = await run(trained, unseen);
    const integer = await run(graph, unseen);
    const equal = shareEqual(classesOf(fake, unseen.count), classesOf(integer, unseen.count));
    const right = shareEqual(classesOf(integer, unseen.count), unseen.labels);
    const far = Math.max(
      ...fake.map((o, k) => Math.max(...o.map((v, i) => Math.abs(v - integer[k]![i]!)))),
    );
    t.diagnostic(`float ${accuracy}, integer ${right}, equal ${equal}, logits within ${far}`);
    assert.ok(equal >= 0.999, `${equal} equal`);
    const bits = layers.map((l) => l.bits);
    assert.equal(bits[0], 8);
    assert.equal(bits.at(-1), 8);
    for (const b of bits.slice(1, -1)) assert.equal(b, options.weightBits ?? 8);
    const want = layers.reduce((a, l) => a + Math.ceil((l.bits * l.weights) / 8), 0);
    assert.equal(packedBytes, want);
    const file = loadModel(toOnnx(graph)).graph;
    const again = classesOf(await run(cleanGraph(file), unseen), unseen.count);
    assert.ok(shareEqual(again, classesOf(integer, unseen.count)) >= 0.999);
  });
}
