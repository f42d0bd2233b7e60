/**
 * @file Whether Fisher potential before training ranks mixtures of blocks as their errors behind it do (BlockSwap, Turner
 * et al., arXiv:1906.04113, figure 2): mixtures of one budget, each trained the same from fresh weights on CIFAR-10. Writes
 * JSON lines: settings, each mixture with its potential and error, and Spearman's correlation of the two.
 *
 *   node bench/experiments/block-swap.ts --data FOLDER [--net wrn-16-1] [--share 0.3] [--mixtures 32] [--epochs 6]
 *     [--rows 5000] [--seed 1] [--engine native] [--threads 2] [--log FILE]
 */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { machineInfo } from "../../cli/measure.ts";
import { macsOf, parameterCount } from "../../src/graph/count.ts";
import { compiledExecutor } from "../../src/optimize/executor.ts";
import { tensorOf } from "../../src/tensor/tensor.ts";
import { trainingBatches } from "../../src/train/data/source.ts";
import { wideResnet } from "../../src/train/models/wide-resnet.ts";
import { blockSwap } from "../../src/train/student/block-swap.ts";
import { studentOf } from "../../src/train/student/student.ts";
import { withBatch } from "../../src/train/with-batch.ts";
import { CIFAR10 } from "./cifar10.ts";
import { accuracy, engineNamed, lineWriter, rounded, some } from "./run.ts";
import { trainVariant } from "./variants.ts";

const { values: flags } = parseArgs({
  options: {
    data: { type: "string" },
    net: { type: "string", default: "wrn-16-1" },
    share: { type: "string", default: "0.3" },
    mixtures: { type: "string", default: "32" },
    epochs: { type: "string", default: "6" },
    rows: { type: "string", default: "5000" },
    seed: { type: "string", default: "1" },
    rate: { type: "string", default: "0.1" },
    engine: { type: "string", default: "wasm" },
    threads: { type: "string", default: "2" },
    log: { type: "string" },
  },
});
const [, depth, width] = /^wrn-(\d+)-(\d+)$/.exec(flags.net) ?? [];
if (flags.data === undefined || depth === undefined) {
  console.error("usage: block-swap.ts --data FOLDER [--net wrn-DEPTH-WIDTH] ...");
  process.exit(2);
}
if (flags.log !== undefined) writeFileSync(flags.log, "");
const write = lineWriter(flags.log);
const [seed, threads, epochs] = [flags.seed, flags.threads, flags.epochs].map(Number) as [
  number,
  number,
  number,
];
const { batch, mean, std, augment } = CIFAR10;
const { train, test } = await CIFAR10.read(flags.data);
const engine = await engineNamed(flags.engine);
const course = {
  ...{ set: some(train, Number(flags.rows)), batch, mean, std, augment },
  ...{ epochs, rate: Number(flags.rate), threads, engine },
};
const teacher = wideResnet({ depth: Number(depth), width: Number(width), batch, seed });
const single = withBatch(teacher, 1);
const target = Math.round(Number(flags.share) * parameterCount(single));

/** The first batch of the training set: pictures, then classes as distributions. */
async function minibatch() {
  const { feeds } = await trainingBatches(train, { batch, seed, mean, std, ...augment }).batch(0);
  const [image, labels] = [feeds["image"], feeds["target"]] as [Float32Array, Float32Array];
  return [
    tensorOf("f32", [batch, 32, 32, 3], image),
    tensorOf("f32", [batch, train.classes], labels),
  ];
}

const { ranked, blocks } = await blockSwap(teacher, {
  ...{ budget: { kind: "params", target }, samples: Number(flags.mixtures), seed },
  ...{ executor: compiledExecutor(), batch: await minibatch() },
});
write({
  ...{ experiment: "block-swap", net: flags.net, parameters: target, mixtures: ranked.length },
  ...{ seed, epochs, rate: course.rate, batch, augment, rows: course.set.count },
  ...{ test: test.count, engine: engine.name, threads, machine: machineInfo() },
});

const errors: number[] = [];
for (const { types, cost, potential } of ranked) {
  const byLayer = new Map(blocks.flatMap((names, i) => names.map((n) => [n, types[i]!] as const)));
  const { graph } = studentOf(teacher, { blocks: (name) => byLayer.get(name) ?? "S", seed });
  const start = performance.now();
  const model = await trainVariant(course, { model: graph, decay: 5e-4 }, seed, () => {});
  const error = 100 - (await accuracy(model, test, { batch, mean, std, threads }));
  errors.push(error);
  write({
    ...{ types, parameters: cost, macs: macsOf(graph) / batch, potential },
    ...{ error: rounded(error, 2), seconds: rounded((performance.now() - start) / 1000, 1) },
  });
}
const potentials = ranked.map((m) => m.potential);
write({ spearman: rounded(spearman(potentials, errors), 3), of: errors.length });

/** Correlation of ranks; equal numbers share the mean of theirs. */
function spearman(a: readonly number[], b: readonly number[]): number {
  const [x, y] = [ranksOf(a), ranksOf(b)];
  const centre = (x.length - 1) / 2;
  const dot = (p: readonly number[], q: readonly number[]): number =>
    p.reduce((sum, v, i) => sum + (v - centre) * (q[i]! - centre), 0);
  return dot(x, y) / Math.sqrt(dot(x, x) * dot(y, y));
}

function ranksOf(list: readonly number[]): number[] {
  return list.map((v) => {
    const below = list.filter((w) => w < v).length;
    return below + (list.filter((w) => w === v).length - 1) / 2;
  });
}
