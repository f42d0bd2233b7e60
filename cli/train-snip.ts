/** @file Masks by the sensitivity of the loss (SNIP), of the first batches of a training or of given data. */
import type { LossData } from "../src/compress/prune/index.ts";
import {
  layerWeights,
  type Masks,
  type ScoreOptions,
  snipMasks,
} from "../src/compress/sparsity/index.ts";
import { type Graph, isOp } from "../src/graph/graph.ts";
import { batchNorm } from "../src/ops/nn/batch-norm.ts";
import { compiledExecutor } from "../src/optimize/executor.ts";
import { makeTensor, type Tensor } from "../src/tensor/tensor.ts";
import type { Batch, BatchSource } from "../src/train/batches.ts";
import { parametersOf, withOwnParameters } from "../src/train/parameters.ts";
import { reestimateBatchNorm } from "../src/train/reestimate.ts";
import type { InputPort } from "./train-data.ts";

/** Batches that sensitivities are the means of, at most. */
const BATCHES = 16;

/** The first batches of a training, and what is minimised. */
export interface FirstBatches {
  readonly source: BatchSource;
  readonly input: InputPort;
  readonly loss: LossData["loss"];
  /** Whether normalisations go by the batch: their averages are then not yet those of the data. */
  readonly byBatch: boolean;
}

/** A batch as tensors by name, copies. */
export function batchTensors({ feeds }: Pick<Batch, "feeds">, input: InputPort) {
  const rows = input.shape[0]!;
  const tensors = Object.entries(feeds as Readonly<Record<string, Float32Array>>).map(
    ([name, data]): [string, Tensor] => {
      const shape = name === input.name ? input.shape : [rows, data.length / rows];
      return [name, makeTensor({ dtype: "f32", shape }, Float32Array.from(data))];
    },
  );
  return Object.fromEntries(tensors) as Readonly<Record<string, Tensor>>;
}

/** Masks of the parameters that are chosen, by name. */
export async function snipMasksOf(
  graph: Graph,
  chosen: (name: string) => boolean,
  data: LossData,
  options: ScoreOptions,
): Promise<Masks> {
  const own = withOwnParameters(graph);
  const weights = layerWeights(own, parametersOf(own)).filter(({ name }) => chosen(name));
  return snipMasks(own, weights, data, options);
}

/** The same of a model before its training, on the training's own first batches. */
export async function firstSnipMasks(
  model: Graph,
  chosen: (name: string) => boolean,
  { source, input, loss, byBatch }: FirstBatches,
  options: ScoreOptions,
): Promise<Masks> {
  const count = Math.min(BATCHES, source.batchesPerEpoch);
  const batches: Readonly<Record<string, Tensor>>[] = [];
  for (let i = 0; i < count; i++) batches.push(batchTensors(await source.batch(i), input));
  const executor = compiledExecutor();
  const norms = byBatch && model.nodes.some((n) => isOp(n, batchNorm));
  const feeds = batches.map((b) => [b[input.name]!]);
  const graph = norms ? await reestimateBatchNorm(model, feeds, executor) : model;
  return snipMasksOf(graph, chosen, { loss, batches, executor }, options);
}
