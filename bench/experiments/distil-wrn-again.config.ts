import { defineTraining } from "../../src/train/index.ts";
import { CIFAR10_DATA } from "./cifar10.ts";

/** A second cycle of the student of distil-wrn.config.ts, over six other views. */
export default defineTraining({
  model: { build: "wrn-16-2" },
  data: { ...CIFAR10_DATA, augment: { shift: 4, mirror: true, views: 6 } },
  optimizer: { kind: "nesterov", decay: 5e-4 },
  schedule: { kind: "one-cycle", rate: 0.05, rising: 0.1 },
  epochs: 17,
  evaluate: { every: 4 },
  log: { every: 130 },
});
