/**
 * @file The loss of a trained float network right after channels are removed, for each criterion and share of channels,
 * on training pictures that no gradient was taken of; writes a log of JSON lines.
 *
 *   node bench/experiments/prune-criteria.ts MODEL.onnx --data FOLDER [--threads n] [--log FILE]
 */
import { readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { machineInfo } from "../../cli/measure.ts";
import {
  CRITERIA,
  chooseChannels,
  importanceOf,
  lossImportance,
  prunableGroups,
  removeChannels,
} from "../../src/compress/prune/index.ts";
import { macsOf } from "../../src/graph/count.ts";
import { type Graph, typeOf } from "../../src/graph/graph.ts";
import { compiledExecutor } from "../../src/optimize/executor.ts";
import { cleanGraph, compile, loadModel, trainableGraph } from "../../src/pipeline.ts";
import { createSession } from "../../src/runtime/session.ts";
import { type Tensor, tensorOf } from "../../src/tensor/tensor.ts";
import { evaluationBatches } from "../../src/train/data/source.ts";
import { crossEntropy } from "../../src/train/losses.ts";
import { withBatch } from "../../src/train/with-batch.ts";
import { CIFAR10 } from "./cifar10.ts";
import { lineWriter, rounded } from "./run.ts";

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    data: { type: "string" },
    threads: { type: "string", default: "1" },
    log: { type: "string" },
  },
});
const [path] = positionals;
if (path === undefined || flags.data === undefined) {
  console.error("usage: prune-criteria.ts MODEL.onnx --data FOLDER");
  process.exit(2);
}

/** Batches that gradients are taken of, and after them those that losses are compared on. */
const GRADIENT_BATCHES = 16;
const LOSS_BATCHES = 20;
const SHARES = [0.1, 0.2, 0.3, 0.5];
const RANDOM_SEEDS = [1, 2, 3];

const { batch, mean, std } = CIFAR10;
const threads = Number(flags.threads);
const write = lineWriter(flags.log);
if (flags.log !== undefined) writeFileSync(flags.log, "");
const { train } = await CIFAR10.read(flags.data);
const { classes } = train;
const original = withBatch(trainableGraph(loadModel(readFileSync(path)).graph), batch);
const { shape } = typeOf(original, original.inputs[0]!);

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
      image: tensorOf("f32", shape, feeds["image"]!.slice() as Float32Array),
      target: tensorOf("f32", [batch, classes], target),
    });
  }
  return found;
}

/** Mean cross-entropy by the averages of normalisation. */
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

write({
  experiment: "prune-criteria",
  model: path.split("/").at(-1),
  ...{ batch, threads, gradientBatches: GRADIENT_BATCHES, lossBatches: LOSS_BATCHES },
  machine: machineInfo(),
  macs: macsOf(withBatch(original, 1)),
});
const groups = prunableGroups(original);
const gradientBatches = await labelled(0, GRADIENT_BATCHES);
const lossBatches = await labelled(GRADIENT_BATCHES, LOSS_BATCHES);
write({ share: 0, loss: rounded(await lossOf(original, lossBatches), 4) });
for (const criterion of CRITERIA) {
  for (const seed of criterion === "random" ? RANDOM_SEEDS : [1]) {
    const importance = await importanceOf(original, groups, criterion, {
      seed,
      importance: (graph, by) =>
        lossImportance(graph, groups, by, {
          batches: gradientBatches,
          executor: compiledExecutor(),
          loss: ({ g, outputs, input }) => {
            const [logits] = Object.values(outputs);
            return crossEntropy(g, logits!, input("target", [batch, classes]));
          },
        }),
    });
    for (const share of SHARES) {
      const kept = chooseChannels(original, groups, importance, { share });
      const pruned = removeChannels(original, kept);
      const loss = rounded(await lossOf(pruned, lossBatches), 4);
      const macs = rounded(macsOf(pruned) / macsOf(original), 3);
      write({ criterion, seed, share, macs, loss });
    }
  }
}
