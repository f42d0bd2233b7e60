/**
 * @file The int8 models whose integers are compared with TensorFlow Lite's, and the inputs used.
 */
import type { Graph } from "../../src/graph/graph.ts";
import { DTYPES } from "../../src/tensor/dtype.ts";
import { elementCount, type Tensor, type TensorType, tensorOf } from "../../src/tensor/tensor.ts";
import { makeRng, type Rng } from "../../src/util/rng.ts";

export interface GoldenModel {
  readonly key: string;
  /** File in mlperf-tiny/models of the shared data. */
  readonly file: string;
  readonly seed: number;
  /** Random samples in the golden file. */
  readonly samples: number;
}

export const GOLDEN_MODELS: readonly GoldenModel[] = [
  { key: "kws", file: "kws_dscnn_int8.tflite", seed: 1, samples: 8 },
  { key: "ic", file: "ic_resnet8_int8.tflite", seed: 2, samples: 2 },
  { key: "vww", file: "vww_mobilenetv1_int8.tflite", seed: 3, samples: 2 },
  { key: "ad", file: "ad_autoencoder_int8.tflite", seed: 4, samples: 8 },
];

/** Samples of uniform int8 values. */
export function randomSamples(seed: number, count: number, size: number): Int8Array[] {
  const rng = makeRng(seed);
  return Array.from({ length: count }, () =>
    Int8Array.from({ length: size }, () => rng.int(256) - 128),
  );
}

/** A random value for an input: quantised ones use the whole range. */
function randomTensor(type: TensorType, rng: Rng): Tensor {
  const { min, max, kind } = DTYPES[type.dtype];
  const value = (): number => {
    if (type.dtype === "bool") return rng.int(2);
    if (type.quant !== undefined) return min + rng.int(max - min + 1);
    return kind === "float" ? 3 * rng.next() - 1.4 : rng.int(9) - 4;
  };
  const values = Array.from({ length: elementCount(type.shape) }, value);
  return { type, data: tensorOf(type.dtype, type.shape, values).data };
}

/** Feeds of one operator case: eight samples, or one where it takes no inputs. */
export function caseFeeds(graph: Graph, index: number): Tensor[][] {
  const rng = makeRng(1000 + index);
  const types = graph.inputs.map((v) => graph.values.get(v)!.type);
  const samples = types.length === 0 ? 1 : 8;
  return Array.from({ length: samples }, () => types.map((t) => randomTensor(t, rng)));
}
