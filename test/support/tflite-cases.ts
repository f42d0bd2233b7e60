/**
 * @file One small TensorFlow Lite model for each operator the importer knows, float and int8: seeds
 * of the format fuzzer, and what bench/peers/tflite-agreement.ts compares with TensorFlow Lite itself.
 */
import { elementwise } from "./tflite-cases-elementwise.ts";
import { movement, reductions } from "./tflite-cases-move.ts";
import { convolutions, pools, recurrent } from "./tflite-cases-nn.ts";
import type { TfliteCase } from "./tflite-parts.ts";

export type { TfliteCase } from "./tflite-parts.ts";

/** All cases; the same bytes in every run. */
export const tfliteCases: readonly TfliteCase[] = [
  ...convolutions(),
  ...pools(),
  ...elementwise(),
  ...movement(),
  ...reductions(),
  ...recurrent(),
];
