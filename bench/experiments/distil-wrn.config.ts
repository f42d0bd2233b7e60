import { defineTraining } from "../../src/train/index.ts";
import { CIFAR10_DATA } from "./cifar10.ts";

/** Data and training on CIFAR-10 for `tersor distill out/wrn-16-2-88.onnx`: the teacher runs five times over the pictures. */
export default defineTraining({
  model: { build: "wrn-16-2" },
  data: { ...CIFAR10_DATA, augment: { shift: 4, mirror: true, views: 5 } },
  optimizer: { kind: "nesterov", decay: 5e-4 },
  schedule: { kind: "one-cycle", rate: 0.1, rising: 0.2 },
  epochs: 28,
  evaluate: { every: 4 },
  log: { every: 130 },
});
