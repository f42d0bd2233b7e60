import { defineTraining } from "../../src/train/index.ts";
import { CIFAR10_DATA } from "./cifar10.ts";

/** A second cycle for the WRN-16-2 of wrn-16-2.config.ts, saved to out/wrn-16-2.onnx. */
export default defineTraining({
  model: { file: "../../out/wrn-16-2.onnx" },
  data: { ...CIFAR10_DATA, augment: { shift: 4, mirror: true, cutout: 8 } },
  optimizer: { kind: "nesterov", decay: 5e-4 },
  schedule: { kind: "one-cycle", rate: 0.1, rising: 0.1 },
  epochs: 9,
  evaluate: { every: 9 },
  log: { every: 130 },
  seed: 2,
  threads: 2,
  engine: "native",
});
