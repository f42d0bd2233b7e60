/** @file Short trainings that a PyTorch reference exists for: models, batches and settings from fixed seeds. */
import type { Graph } from "../../src/graph/graph.ts";
import { lenet5 } from "../../src/train/models/lenet5.ts";
import { resnet8 } from "../../src/train/models/resnet8.ts";
import { wideResnet } from "../../src/train/models/wide-resnet.ts";
import { makeRng } from "../../src/util/rng.ts";

export const STEPS = 50;
export const BATCH = 8;
export const RATE = 0.002;
export const MOMENTUM = 0.9;
export const DECAY = 5e-4;
const CLASSES = 10;
const SEED = 20;
/** Batches that come round again. */
const BATCHES = 5;

export interface TrainingCase {
  readonly name: string;
  readonly model: Graph;
  /** Shape of a batch. */
  readonly shape: readonly number[];
}

export const trainingCases = (): readonly TrainingCase[] => [
  { name: "lenet5", model: lenet5({ batch: BATCH, seed: SEED }), shape: [BATCH, 28, 28, 1] },
  { name: "resnet8", model: resnet8({ batch: BATCH, seed: SEED }), shape: [BATCH, 32, 32, 3] },
  {
    name: "wrn-10-1",
    model: wideResnet({ depth: 10, width: 1, batch: BATCH, seed: SEED }),
    shape: [BATCH, 32, 32, 3],
  },
];

export interface Batch {
  readonly image: Float32Array<ArrayBuffer>;
  readonly labels: readonly number[];
  /** One-hot, [batch, classes]. */
  readonly target: Float32Array<ArrayBuffer>;
}

/** The batches of a case, in turn. */
export function batchesOf({ shape }: TrainingCase): readonly Batch[] {
  const rng = makeRng(SEED + 1);
  const count = shape.reduce((a, b) => a * b, 1);
  return Array.from({ length: BATCHES }, () => {
    const image = Float32Array.from({ length: count }, () => rng.normal());
    const labels = Array.from({ length: BATCH }, () => rng.int(CLASSES));
    const target = new Float32Array(BATCH * CLASSES);
    labels.forEach((label, i) => {
      target[i * CLASSES + label] = 1;
    });
    return { image, labels, target };
  });
}
