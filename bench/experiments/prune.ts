/**
 * @file Prunes a trained float network and trains it on; writes a log of JSON lines: settings, then one line an epoch
 * and one a result.
 *
 *   node bench/experiments/prune.ts MODEL.onnx --data FOLDER [--cases criteria,fisher,...] [--macs 0.5] [--epochs n]
 *     [--rate r] [--alpha a] [--seeds 1,2,3] [--holdout n] [--engine native] [--threads n] [--log FILE] [--save FOLDER]
 *
 * Cases: `criteria` (the loss before training on, for each criterion and share of channels), a criterion's name (its
 * channels go until the share `--macs` is left, then training), `twin` (the architecture of the first criterion, fresh
 * weights, the same training), `thin` (all groups narrowed alike to that cost, fresh weights), `original` (the network
 * itself trained on alike), `one-shot` and `gradual` (the share `--zeros` of the weights).
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { machineInfo, measure, timeFor } from "../../cli/measure.ts";
import {
  type ChannelGroup,
  chooseChannels,
  type Importance,
  LOSS_CRITERIA,
  lossImportance,
  normalised,
  prunableGroups,
  removeChannels,
  WEIGHT_CRITERIA,
  weightImportance,
} from "../../src/compress/prune/index.ts";
import {
  gradualSparsity,
  isPruningStep,
  layerWeights,
  type Masks,
  magnitudeMasks,
} from "../../src/compress/sparsity/index.ts";
import { constantBytes, macsOf } from "../../src/graph/count.ts";
import { type Graph, typeOf } from "../../src/graph/graph.ts";
import { compiledExecutor } from "../../src/optimize/executor.ts";
import { cleanGraph, compile, loadModel, toOnnx, trainableGraph } from "../../src/pipeline.ts";
import { createSession } from "../../src/runtime/session.ts";
import { type Tensor, tensorOf } from "../../src/tensor/tensor.ts";
import { subset } from "../../src/train/data/sets.ts";
import { evaluationBatches } from "../../src/train/data/source.ts";
import { distil } from "../../src/train/distil.ts";
import { crossEntropy } from "../../src/train/losses.ts";
import { withMasks } from "../../src/train/masks.ts";
import { prefetchedBatches } from "../../src/train/node/prefetch.ts";
import { sgd } from "../../src/train/optimizers.ts";
import { parametersOf } from "../../src/train/parameters.ts";
import { cosineRate, oneCycle } from "../../src/train/schedules.ts";
import { trainingStep } from "../../src/train/step.ts";
import { studentOf } from "../../src/train/student/student.ts";
import { createTrainer } from "../../src/train/trainer.ts";
import { withBatch } from "../../src/train/with-batch.ts";
import { product } from "../../src/util/math.ts";
import { CIFAR10 } from "./cifar10.ts";
import { accuracy, engineNamed, lineWriter, rounded, secondsSince } from "./run.ts";

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    data: { type: "string" },
    cases: { type: "string", default: "criteria,fisher,twin,thin" },
    macs: { type: "string", default: "0.5" },
    zeros: { type: "string", default: "0.9" },
    "round-to": { type: "string", default: "4" },
    "per-cost": { type: "boolean", default: false },
    epochs: { type: "string", default: "8" },
    rate: { type: "string", default: "0.05" },
    schedule: { type: "string", default: "cosine" },
    alpha: { type: "string", default: "0" },
    decay: { type: "string", default: "5e-4" },
    seeds: { type: "string", default: "1" },
    holdout: { type: "string", default: "0" },
    engine: { type: "string", default: "wasm" },
    threads: { type: "string", default: "1" },
    log: { type: "string" },
    save: { type: "string" },
  },
});
const [path] = positionals;
if (path === undefined || flags.data === undefined) {
  console.error("usage: prune.ts MODEL.onnx --data FOLDER");
  process.exit(2);
}

const { batch, mean, std, augment } = CIFAR10;
const [macsShare, zeros, roundTo, epochs, rate, alpha, decay, holdout, threads] = [
  flags.macs,
  flags.zeros,
  flags["round-to"],
  flags.epochs,
  flags.rate,
  flags.alpha,
  flags.decay,
  flags.holdout,
  flags.threads,
].map(Number) as [number, number, number, number, number, number, number, number, number];
const seeds = flags.seeds.split(",").map(Number);
const cases = flags.cases.split(",");

/** Batches that gradients are taken of, and that losses are compared on. */
const GRADIENT_BATCHES = 16;
const LOSS_BATCHES = 20;
const SHARES = [0.1, 0.2, 0.3, 0.5];
const TEMPERATURE = 4;
const MASK_EVERY = 100;
/** Share of the steps in which masks grow. */
const MASKED_BY = 0.7;

const write = lineWriter(flags.log);
if (flags.log !== undefined) writeFileSync(flags.log, "");
const sets = await CIFAR10.read(flags.data);
const rows = (from: number, to: number): number[] =>
  Array.from({ length: to - from }, (_, i) => from + i);
const split = sets.train.count - holdout;
const train = subset(sets.train, rows(0, split));
const unseen = holdout > 0 ? subset(sets.train, rows(split, sets.train.count)) : sets.test;
const { classes } = train;
const original = withBatch(trainableGraph(loadModel(readFileSync(path)).graph), batch);
const engine = await engineNamed(flags.engine);
const perEpoch = Math.floor(train.count / batch);
const steps = epochs * perEpoch;
const schedule = flags.schedule === "cosine" ? cosineRate(rate, steps) : oneCycle(rate, steps);
const score = (model: Graph): Promise<number> =>
  accuracy(model, unseen, { batch, mean, std, threads });

async function labelled(from: number, count: number): Promise<Record<string, Tensor>[]> {
  const source = evaluationBatches(train, { batch, mean, std });
  const found: Record<string, Tensor>[] = [];
  for (let n = from; n < from + count; n++) {
    const { feeds, labels } = await source.batch(n);
    const target = new Float32Array(batch * classes);
    labels.forEach((label, i) => {
      target[i * classes + label] = 1;
    });
    found.push({
      image: tensorOf(
        "f32",
        original.values.get(original.inputs[0]!)!.type.shape,
        feeds["image"]!.slice() as Float32Array,
      ),
      target: tensorOf("f32", [batch, classes], target),
    });
  }
  return found;
}

const importanceOf = async (
  groups: readonly ChannelGroup[],
  criterion: string,
  seed: number,
): Promise<Importance> => {
  const gradient = LOSS_CRITERIA.find((c) => c === criterion);
  if (gradient !== undefined) {
    return lossImportance(original, groups, gradient, {
      batches: await labelled(0, GRADIENT_BATCHES),
      executor: compiledExecutor(),
      loss: ({ g, outputs, input }) => {
        const [logits] = Object.values(outputs);
        return crossEntropy(g, logits!, input("target", [batch, classes]));
      },
    });
  }
  const known = WEIGHT_CRITERIA.find((c) => c === criterion)!;
  const found = weightImportance(original, groups, known, { seed });
  return known === "random" ? found : normalised(found);
};

/** Mean cross-entropy on training pictures that no gradient was taken of, by the averages of normalisation. */
async function lossOf(model: Graph, batches: readonly Record<string, Tensor>[]): Promise<number> {
  const session = await createSession(compile(cleanGraph(model)).program, { threads });
  let sum = 0;
  for (const { image, target } of batches) {
    const logits = session.run([image!])[0]!.data as Float32Array;
    for (let r = 0; r < batch; r++) {
      const row = Array.from(logits.subarray(r * classes, (r + 1) * classes));
      const top = Math.max(...row);
      const log = top + Math.log(row.reduce((s, x) => s + Math.exp(x - top), 0));
      const label = (target!.data as Float32Array).subarray(r * classes).indexOf(1);
      sum += (log - row[label]!) / batch;
    }
  }
  session.close();
  return sum / batches.length;
}

async function criteria(): Promise<void> {
  const groups = prunableGroups(original);
  const batches = await labelled(GRADIENT_BATCHES, LOSS_BATCHES);
  write({ case: "criteria", share: 0, loss: rounded(await lossOf(original, batches), 4) });
  for (const criterion of [...LOSS_CRITERIA, ...WEIGHT_CRITERIA]) {
    for (const seed of criterion === "random" ? [1, 2, 3] : [1]) {
      const importance = await importanceOf(groups, criterion, seed);
      for (const share of SHARES) {
        const kept = chooseChannels(original, groups, importance, { share });
        const pruned = removeChannels(original, kept);
        const loss = rounded(await lossOf(pruned, batches), 4);
        const macs = rounded(macsOf(pruned) / macsOf(original), 3);
        write({ case: "criteria", criterion, seed, share, macs, loss });
      }
    }
  }
}

const limit = macsShare * macsOf(original);
const target = { cost: macsOf, limit, what: "the number of multiply-accumulates" };

async function prunedBy(criterion: string, seed: number): Promise<Graph> {
  const groups = prunableGroups(original);
  const importance = await importanceOf(groups, criterion, seed);
  const options = { roundTo, perCost: flags["per-cost"] };
  return removeChannels(original, chooseChannels(original, groups, importance, target, options));
}

/** Every group narrowed by the same share; which units go is of no matter for fresh weights. */
function thinner(): Graph {
  const groups = prunableGroups(original);
  const even: Importance = new Map(
    groups.map((g) => [g.name, Float64Array.from({ length: g.count }, (_, i) => 1 - i / g.count)]),
  );
  return removeChannels(original, chooseChannels(original, groups, even, target, { roundTo }));
}

const fresh = (graph: Graph, seed: number): Graph => studentOf(graph, { seed }).graph;

/** Medians of both networks for one picture, in WebAssembly, in turns. */
async function times(model: Graph): Promise<Record<string, number>> {
  const sessions = [];
  for (const graph of [original, model]) {
    const one = withBatch(graph, 1);
    const session = await createSession(compile(cleanGraph(one)).program);
    const { shape } = typeOf(one, one.inputs[0]!);
    sessions.push({ session, feed: tensorOf("f32", shape, new Float32Array(product(shape))) });
  }
  const [before, after] = await measure(
    sessions.map(({ session, feed }) => ({ turn: (m) => timeFor(() => session.run([feed]), m) })),
    6,
  );
  for (const { session } of sessions) session.close();
  return {
    originalMs: rounded(before!.p50Ms, 4),
    ms: rounded(after!.p50Ms, 4),
    faster: rounded(before!.p50Ms / after!.p50Ms, 2),
  };
}

interface Sparse {
  readonly masks: Masks;
  /** After this step; null: they stay. */
  readonly next: ((step: number, model: () => Graph) => Masks | null) | null;
}

async function trained(name: string, seed: number, model: Graph, sparse?: Sparse): Promise<Graph> {
  const optimizer = sgd({ momentum: 0.9, nesterov: true });
  const step = trainingStep(model, {
    optimizer,
    loss: distil({ alpha, temperature: TEMPERATURE }),
    decay: (parameter) => (/weight/.test(parameter) ? decay : 0),
    ...(sparse !== undefined && { masks: sparse.masks }),
    ...(alpha > 0 && { teacher: original }),
  });
  const trainer = await createTrainer(model, step, optimizer, { threads, engine });
  const batches = prefetchedBatches(train, { batch, seed, mean, std, ...augment });
  for (let epoch = 0; epoch < epochs; epoch++) {
    const begun = performance.now();
    let loss = 0;
    for (let n = epoch * perEpoch; n < (epoch + 1) * perEpoch; n++) {
      const masks = sparse?.next?.(n, () => trainer.model()) ?? null;
      if (masks !== null) trainer.restore(withMasks(trainer.state(), masks), trainer.steps);
      const { feeds } = await batches.batch(n);
      loss += trainer.step(feeds, schedule(n)).loss / perEpoch;
    }
    const seconds = secondsSince(begun);
    write({ case: name, seed, epoch: epoch + 1, loss: rounded(loss, 4), seconds });
  }
  await batches.close();
  const result = trainer.model();
  trainer.close();
  if (flags.save !== undefined) {
    writeFileSync(join(flags.save, `${name}-${seed}.onnx`), toOnnx(result));
  }
  return result;
}

async function report(name: string, seed: number, start: Graph, sparse?: Sparse): Promise<void> {
  const before = sparse === undefined ? await score(start) : null;
  const begun = performance.now();
  const model = await trained(name, seed, start, sparse);
  const size = {
    macs: rounded(macsOf(model) / macsOf(original), 3),
    bytes: rounded(constantBytes(model) / constantBytes(original), 3),
  };
  write({
    ...{ case: name, seed, ...size },
    ...(before !== null && { beforeTraining: rounded(before, 2) }),
    accuracy: rounded(await score(model), 2),
    seconds: secondsSince(begun),
    ...(await times(model)),
  });
}

const namedWeights = (model: Graph) => layerWeights(model, parametersOf(model));
const masksAt = (model: Graph, sparsity: number): Masks =>
  magnitudeMasks(namedWeights(model), { sparsity, scope: "global" });

async function oneShot(seed: number): Promise<void> {
  const masks = masksAt(original, zeros);
  await report("one-shot", seed, original, { masks, next: null });
}

async function gradual(seed: number): Promise<void> {
  const plan = { begin: 0, end: Math.floor(MASKED_BY * steps), final: zeros, every: MASK_EVERY };
  const next = (n: number, model: () => Graph): Masks | null =>
    isPruningStep(plan, n) ? masksAt(model(), gradualSparsity(plan, n)) : null;
  await report("gradual", seed, original, { masks: masksAt(original, 0), next });
}

write({
  experiment: "prune",
  model: path.split("/").at(-1),
  ...{ cases, macsShare, zeros, roundTo, perCost: flags["per-cost"], epochs, rate },
  ...{ schedule: flags.schedule, alpha, decay, batch, augment, seeds, holdout, threads },
  engine: engine.name,
  machine: machineInfo(),
  pictures: [train.count, unseen.count],
  accuracy: rounded(await score(original), 2),
  macs: macsOf(withBatch(original, 1)),
});

const first = cases.find((c) => [...LOSS_CRITERIA, ...WEIGHT_CRITERIA].some((k) => k === c));
const CASES: Readonly<Record<string, (seed: number) => Promise<void>>> = {
  twin: async (seed) => report("twin", seed, fresh(await prunedBy(first ?? "fisher", seed), seed)),
  thin: async (seed) => report("thin", seed, fresh(thinner(), seed)),
  original: (seed) => report("original", seed, original),
  "one-shot": oneShot,
  gradual,
};
for (const name of cases) {
  if (name === "criteria") {
    await criteria();
    continue;
  }
  for (const seed of seeds) {
    const run = CASES[name];
    if (run !== undefined) await run(seed);
    else await report(name, seed, await prunedBy(name, seed));
  }
}
