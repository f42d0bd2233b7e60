/** @file A float model in 8 bits, with the ranges of rows that it will see. */
import { collectStats, plainWeights, quantizeGraph } from "../src/compress/quantize/index.ts";
import { type Graph, nameOf, typeOf } from "../src/graph/graph.ts";
import { compiledExecutor } from "../src/optimize/executor.ts";
import { cleanGraph } from "../src/pipeline.ts";
import { makeTensor, type Tensor } from "../src/tensor/tensor.ts";
import type { BatchSource } from "../src/train/batches.ts";

/** Rows that ranges of integers are taken from. */
const CALIBRATION_ROWS = 256;

/** The model for single rows in 8 bits, by the ranges of the first of `rows`, batches of one; inputs stay float. */
export async function integersOf(model: Graph, rows: BatchSource | null): Promise<Graph> {
  const float = plainWeights(cleanGraph(model));
  const input = float.inputs[0]!;
  const feeds: (readonly Tensor[])[] = [];
  for (let i = 0; i < Math.min(CALIBRATION_ROWS, rows?.batchesPerEpoch ?? 0); i++) {
    const data = (await rows!.batch(i)).feeds[nameOf(float, input)]!;
    feeds.push([makeTensor(typeOf(float, input), (data as Float32Array).slice() as never)]);
  }
  const stats = await collectStats(float, compiledExecutor(), feeds);
  return quantizeGraph(float, stats, { observer: { kind: "mse" } });
}
