/** @file Quantisation-aware training in `tersor train`: fake quantisers before, the integer model behind. */
import { collectStats } from "../src/compress/quantize/calibrate.ts";
import { type Graph, typeOf } from "../src/graph/graph.ts";
import { compiledExecutor } from "../src/optimize/executor.ts";
import { runPasses, toLayout } from "../src/passes/index.ts";
import { cleanGraph } from "../src/pipeline.ts";
import { makeTensor, type Tensor } from "../src/tensor/tensor.ts";
import type { BatchSource } from "../src/train/batches.ts";
import type { QuantizeConfig } from "../src/train/config.ts";
import { convertQat } from "../src/train/qat/convert.ts";
import { prepareQat } from "../src/train/qat/prepare.ts";
import type { InputPort } from "./train-data.ts";

/** Batches that the first ranges are taken from. */
const CALIBRATION = 16;

const selectionOf = ({ keepFloat = [] }: QuantizeConfig) => ({ keepFloat: new Set(keepFloat) });

/** The model with fake quantisers; batch normalisations are folded. `source`: training data as it is. */
export async function withQuantisers(
  model: Graph,
  source: BatchSource,
  input: InputPort,
  config: QuantizeConfig,
): Promise<Graph> {
  const float = cleanGraph(runPasses(model, [toLayout("nhwc")]));
  const feeds: Tensor[][] = [];
  for (let i = 0; i < Math.min(CALIBRATION, source.batchesPerEpoch); i++) {
    const rows = (await source.batch(i)).feeds[input.name]!.slice() as Float32Array<ArrayBuffer>;
    feeds.push([makeTensor(typeOf(float, float.inputs[0]!), rows)]);
  }
  const stats = await collectStats(float, compiledExecutor(), feeds);
  const { scheme = "minmax", weightBits = 8, edgeBits = 8 } = config;
  const observer = scheme === "lsq" ? { observer: { kind: "mse" as const } } : {};
  const options = { scheme, weightBits, edgeBits, ...observer, ...selectionOf(config) };
  return prepareQat(float, stats, options);
}

/** The integer model of a trained one. */
export const integerModel = (model: Graph, config: QuantizeConfig): Graph =>
  convertQat(model, selectionOf(config)).graph;
