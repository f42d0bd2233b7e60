import { defineTraining } from "../../src/train/index.ts";
import { CIFAR10_DATA } from "./cifar10.ts";

/** MobileNetV2 at half width on CIFAR-10, with 90 % of its weights gone bit by bit while it learns. */
export default defineTraining({
  model: { build: "mobilenet-v2", width: 0.5 },
  data: { ...CIFAR10_DATA, augment: { shift: 4, mirror: true } },
  optimizer: { kind: "nesterov", decay: 2e-4 },
  schedule: { kind: "one-cycle", rate: 0.1, rising: 0.2 },
  sparsity: { method: "magnitude", ratio: 0.9, gradual: { begin: 1, end: 4 } },
  epochs: 6,
  evaluate: { every: 4 },
  log: { every: 130 },
  seed: 1,
  threads: 2,
  engine: "native",
});
