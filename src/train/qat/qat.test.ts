/** @file Quantisation-aware training from a float network to the integer model, on pictures that can be told apart. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type CalibrationStats, collectStats } from "../../compress/quantize/calibrate.ts";
import { quantizeGraph } from "../../compress/quantize/quantize-graph.ts";
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
import { sgd } from "../optimizers.ts";
import { type StepOptions, trainingStep } from "../step.ts";
import { createTrainer, type Trainer } from "../trainer.ts";
import { convertQat } from "./convert.ts";
import { lsqScale } from "./lsq.ts";
import { prepareQat, type QatOptions } from "./prepare.ts";

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

const normal = ({ channels }: PictureSet) => ({
  mean: new Array<number>(channels).fill(0.3),
  std: new Array<number>(channels).fill(0.2),
});

/** Batches of all pictures. */
async function images(set: PictureSet): Promise<Float32Array[]> {
  const source = evaluationBatches(set, { batch: BATCH, ...normal(set) });
  const found: Float32Array[] = [];
  for (let i = 0; i < source.batchesPerEpoch; i++) {
    found.push((await source.batch(i)).feeds["image"]!.slice() as Float32Array);
  }
  return found;
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
  observe?: StepOptions["observe"],
  threads = 1,
): Promise<Trainer> {
  const optimizer = sgd();
  const step = trainingStep(model, {
    optimizer,
    ...(observe && { observe }),
    loss: ({ g, outputs, input }) =>
      crossEntropy(g, outputs["logits"]!, input("target", [BATCH, CLASSES])),
  });
  const trainer = await createTrainer(model, step, optimizer, { threads });
  const source = trainingBatches(set, { batch: BATCH, seed: 5, ...normal(set) });
  for (let i = 0; i < steps; i++) trainer.step((await source.batch(i)).feeds, rate);
  return trainer;
}

interface Start {
  readonly float: Graph;
  readonly train: PictureSet;
  readonly test: PictureSet;
  readonly accuracy: number;
  readonly stats: CalibrationStats;
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
  const feeds = (await images(sets[0]))
    .slice(0, 4)
    .map((image): Tensor[] => [tensorOf("f32", [BATCH, side, side, channels], image)]);
  const stats = await collectStats(float, executor, feeds);
  return {
    float,
    train: sets[0],
    test: sets[1],
    accuracy: shareEqual(classesOf(outs, 400), sets[1].labels),
    stats,
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
    const trainer = await train(qat, set, 16, 0.005, { steps: 6, keep: 0.9 });
    const trained = trainer.model();
    trainer.close();
    const { graph, layers, packedBytes } = convertQat(trained, options);
    const fake = await run(trained, unseen);
    const integer = await run(graph, unseen);
    const clean = classesOf(await run(cleanGraph(trained), unseen), unseen.count);
    assert.deepEqual(clean, classesOf(fake, unseen.count), "cleaned up");
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

test("folding batch norms before training keeps the function", async () => {
  const { test: unseen } = await resnet;
  const model = resnet8({ batch: BATCH, seed: 9 });
  const plain = await run(model, unseen);
  const folded = await run(cleanGraph(model), unseen);
  for (const [k, row] of plain.entries()) {
    row.forEach((v, i) => {
      assert.ok(Math.abs(v - folded[k]![i]!) <= 1e-4 * Math.max(1, Math.abs(v)));
    });
  }
});

test("before training, the scheme min-max computes what the quantiser makes of the model", async () => {
  const { float, stats, prepare, test: unseen } = await lenet;
  const fake = classesOf(await run(await prepare({ scheme: "minmax" }), unseen), unseen.count);
  const integer = quantizeGraph(float, stats);
  assert.deepEqual(classesOf(await run(integer, unseen), unseen.count), fake);
  const converted = convertQat(await prepare({ scheme: "minmax" })).graph;
  const ops = (g: Graph): string[] => g.nodes.map((node) => node.op.name);
  assert.deepEqual(ops(converted), ops(integer));
});

test("two bits: training makes up for what rounding loses", async (t) => {
  const { float, stats, prepare, train: set, test: unseen, accuracy } = await lenet;
  const right = async (g: Graph): Promise<number> =>
    shareEqual(classesOf(await run(g, unseen), unseen.count), unseen.labels);
  const inner = (layer: string): number => (layer === "conv1" || layer === "fc3" ? 8 : 2);
  const rounded = await right(quantizeGraph(float, stats, { weightBits: inner }));
  const trainer = await train(await prepare({ scheme: "lsq", weightBits: 2 }), set, 100, 0.005);
  const learned = await right(convertQat(trainer.model()).graph);
  trainer.close();
  t.diagnostic(`float ${accuracy}, rounded ${rounded}, learned ${learned}`);
  assert.ok(learned >= accuracy - 0.02, `${learned} of ${accuracy}`);
  assert.ok(learned > rounded, `${learned}, rounded ${rounded}`);
});

test("training repeats to the bit on two threads, and ranges stay after the first steps", async () => {
  const { prepare, train: set } = await lenet;
  const qat = await prepare({ scheme: "minmax" });
  const states = [];
  for (const [steps, threads] of [
    [8, 1],
    [8, 2],
    [4, 1],
    [4, 1],
  ] as const) {
    const trainer = await train(qat, set, steps, 0.005, { steps: 4 }, threads);
    states.push(trainer.state());
    trainer.close();
  }
  const [whole, two, half, again] = states;
  assert.deepEqual(two, whole);
  assert.deepEqual(again, half);
  const ends = [...whole!.keys()].filter((name) => /:(least|largest)$/.test(name));
  assert.equal(ends.length, 12);
  for (const name of ends) assert.deepEqual(whole!.get(name), half!.get(name), name);
  const start = new Map(qat.nodes.flatMap((n) => n.ins).map((v) => [qat.values.get(v)!.name, v]));
  const moved = ends.filter(
    (name) => qat.constants.get(start.get(name)!)!.data[0] !== half!.get(name)![0],
  );
  assert.ok(moved.length >= 6, `${moved.length} ranges moved`);
  assert.notDeepEqual(whole!.get("conv2.weight"), half!.get("conv2.weight"));
});

test("learned scales start as in the paper", () => {
  const mean = [1.2, 0.3, 0.2, 0.6, 2].reduce((a, b) => a + b, 0) / 5;
  assert.ok(Math.abs(lsqScale(mean, 3) - 0.9930424631) < 1e-9);
});

test("what cannot be trained or converted is refused with the reason", async () => {
  const { float, stats, prepare } = await lenet;
  for (const bits of [1, 9, 4.5]) {
    await assert.rejects(prepare({ scheme: "lsq", weightBits: bits }), {
      code: "E_ARGUMENT",
      message: `weights: ${bits} bits, expected a whole number from 2 to 8`,
    });
  }
  assert.throws(() => quantizeGraph(float, stats, { weightBits: () => 1 }), { code: "E_ARGUMENT" });
  const qat = await prepare({ scheme: "minmax" });
  for (const graph of [qat, quantizeGraph(float, stats)]) {
    assert.throws(() => prepareQat(graph, { ...stats, graph }, { scheme: "minmax" }), {
      code: "E_MODEL",
      message: /is quantised already/,
    });
  }
  const raw = resnet8({ batch: BATCH });
  assert.throws(() => prepareQat(raw, { ...stats, graph: raw }, { scheme: "minmax" }), {
    message: /batch norms or scalings that are not folded/,
  });
  assert.throws(() => convertQat(float), { code: "E_MODEL", message: /no fake quantisers/ });
  assert.throws(() => convertQat(qat, { keepFloat: new Set(["fc3"]) }), {
    code: "E_MODEL",
    message: /has no place for/,
  });
  const part = await prepare({ scheme: "minmax", keepFloat: new Set(["fc1"]) });
  assert.throws(() => convertQat(part), { code: "E_MODEL", message: /has no fake quantiser/ });
  const four = await prepare({ scheme: "lsq", weightBits: 4, activationBits: 4 });
  assert.throws(() => convertQat(four), { code: "E_UNSUPPORTED", message: /from -8 to 7/ });
});
