/**
 * @file Prunes the channels of MLPerf Tiny's keyword-spotting network, imported with its weights; writes JSON lines.
 * Data-free criteria, and Fisher by 100 rows; before training and, with `--steps`, after distilling the unpruned
 * network into the pruned one on the same 100 rows, whose labels are not used. 400 other rows evaluate.
 *
 *   node bench/experiments/prune-kws.ts MODEL.tflite ROWS.parquet [--steps n] [--rate r] [--log FILE]
 */
import { readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { machineInfo } from "../../cli/measure.ts";
import {
  chooseChannels,
  type Importance,
  importanceOf,
  lossImportance,
  type PruneCriterion,
  prunableGroups,
  removeChannels,
} from "../../src/compress/prune/index.ts";
import { unpackWeights } from "../../src/compress/quantize/index.ts";
import { constantBytes, macsOf } from "../../src/graph/count.ts";
import { type Graph, typeOf } from "../../src/graph/graph.ts";
import { compiledExecutor } from "../../src/optimize/executor.ts";
import { cleanGraph, loadModel, toOnnx, trainableGraph } from "../../src/pipeline.ts";
import { predictedMs } from "../../src/prune.ts";
import { type Tensor, tensorOf } from "../../src/tensor/tensor.ts";
import { distil } from "../../src/train/distil.ts";
import { crossEntropy } from "../../src/train/losses.ts";
import { sgd } from "../../src/train/optimizers.ts";
import { cosineRate } from "../../src/train/schedules.ts";
import { trainingStep } from "../../src/train/step.ts";
import { createTrainer } from "../../src/train/trainer.ts";
import { withBatch } from "../../src/train/with-batch.ts";
import { product } from "../../src/util/math.ts";
import { makeRng } from "../../src/util/rng.ts";
import { accuracyOf, KEYWORDS, type LabelledRows, readRows } from "../../test/support/accuracy.ts";
import { lineWriter, rounded } from "./run.ts";

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    steps: { type: "string", default: "0" },
    rate: { type: "string", default: "0.001" },
    log: { type: "string" },
  },
});
const [path, rowsPath] = positionals;
if (path === undefined || rowsPath === undefined) {
  console.error("usage: prune-kws.ts MODEL.tflite ROWS.parquet");
  process.exit(2);
}

const SEED = 1;
const [ALL, LEARN, BATCH] = [500, 100, 25];
/** Largest norm of the gradients: normalisations are folded, and pruned networks start far off. */
const CLIP = 1;
const SHARES = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6];
const CRITERIA = ["l1", "l2", "fpgm", "random", "fisher"] as const;
const [steps, rate] = [Number(flags.steps), Number(flags.rate)];
const write = lineWriter(flags.log);
if (flags.log !== undefined) writeFileSync(flags.log, "");

const imported = loadModel(readFileSync(path)).graph;
const model = trainableGraph(unpackWeights(imported));
const order = [...makeRng(SEED).permutation(ALL)];
const learn = await readRows(rowsPath, order.slice(0, LEARN), model, KEYWORDS);
const unseen = await readRows(rowsPath, order.slice(LEARN), model, KEYWORDS);

const input = model.values.get(model.inputs[0]!)!.name;
const { shape } = typeOf(model, model.inputs[0]!);
const classes = product(typeOf(model, model.outputs[0]!).shape);

/** Rows `from` on as one batch; labels where the loss takes them. */
function batchOf({ feeds, labels }: LabelledRows, rows: readonly number[]): Record<string, Tensor> {
  const x = new Float32Array(rows.length * product(shape));
  const target = new Float32Array(rows.length * classes);
  rows.forEach((row, i) => {
    x.set(feeds[row]![0]!.data as Float32Array, i * product(shape));
    target[i * classes + labels[row]!] = 1;
  });
  return {
    [input]: tensorOf("f32", [rows.length, ...shape.slice(1)], x),
    target: tensorOf("f32", [rows.length, classes], target),
  };
}

const batched = withBatch(model, BATCH);
const groups = prunableGroups(batched);
const blocks = Array.from({ length: LEARN / BATCH }, (_, b) =>
  Array.from({ length: BATCH }, (_, i) => b * BATCH + i),
);

const importanceBy = (criterion: PruneCriterion): Promise<Importance> =>
  importanceOf(batched, groups, criterion, {
    seed: SEED,
    importance: (graph, by) =>
      lossImportance(graph, groups, by, {
        batches: blocks.map((rows) => batchOf(learn, rows)),
        executor: compiledExecutor(),
        loss: ({ g, outputs, input: ask }) => {
          const [out] = Object.values(outputs);
          return crossEntropy(g, out!, ask("target", [BATCH, classes]));
        },
      }),
  });

/** The pruned network after `steps` batches that the unpruned one labels. */
async function distilled(pruned: Graph): Promise<Graph> {
  const optimizer = sgd({ momentum: 0.9, nesterov: true });
  const loss = distil({ alpha: 1 });
  const step = trainingStep(pruned, { optimizer, loss, teacher: batched, clipNorm: CLIP });
  const trainer = await createTrainer(pruned, step, optimizer);
  const rng = makeRng(SEED);
  const schedule = cosineRate(rate, steps);
  for (let n = 0; n < steps; n++) {
    const rows = Array.from(rng.permutation(LEARN).subarray(0, BATCH));
    const feeds = batchOf(learn, rows);
    const given = Object.fromEntries(Object.entries(feeds).map(([k, t]) => [k, t.data]));
    trainer.step(given as Record<string, Float32Array>, schedule(n));
  }
  const result = trainer.model();
  trainer.close();
  return result;
}

const top1 = async (graph: Graph): Promise<number> =>
  rounded((await accuracyOf(cleanGraph(withBatch(graph, 1)), unseen)).top1, 2);

const sizes = (graph: Graph): object => {
  const one = cleanGraph(withBatch(graph, 1));
  return {
    macs: macsOf(one),
    weightBytes: constantBytes(one),
    onnxBytes: toOnnx(one).length,
    predictedMs: rounded(predictedMs(one), 4),
  };
};

write({
  experiment: "prune-kws",
  model: path.split("/").at(-1),
  ...{
    steps,
    rate,
    clipNorm: CLIP,
    batch: BATCH,
    learn: LEARN,
    unseen: unseen.labels.length,
    seed: SEED,
  },
  machine: machineInfo(),
  ...sizes(batched),
  accuracy: await top1(batched),
});
for (const criterion of CRITERIA) {
  const importance = await importanceBy(criterion);
  for (const share of SHARES) {
    const pruned = removeChannels(batched, chooseChannels(batched, groups, importance, { share }));
    const line = { criterion, share, ...sizes(pruned), accuracy: await top1(pruned) };
    write(steps === 0 ? line : { ...line, distilled: await top1(await distilled(pruned)) });
  }
}
