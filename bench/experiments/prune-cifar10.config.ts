import { defineTraining } from "../../src/train/index.ts";
import { CIFAR10_DATA } from "./cifar10.ts";

/** Data and training on CIFAR-10 for `tersor prune --config`. */
export default defineTraining({
  model: { build: "resnet8" },
  data: { ...CIFAR10_DATA, augment: { shift: 4, mirror: true } },
  optimizer: { kind: "nesterov", decay: 5e-4 },
  schedule: { kind: "one-cycle", rate: 0.1, rising: 0.2 },
  epochs: 8,
  evaluate: { every: 4 },
  log: { every: 130 },
});
