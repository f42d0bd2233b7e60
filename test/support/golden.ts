/** @file The int8 models whose integers are compared with TensorFlow Lite's, and the inputs used. */
import { makeRng } from "../../src/util/rng.ts";

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
