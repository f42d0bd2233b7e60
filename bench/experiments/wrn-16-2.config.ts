import { defineTraining } from "../../src/train/index.ts";
import { CIFAR10_DATA } from "./cifar10.ts";

/** WRN-16-2 on CIFAR-10 from scratch, with Cutout: the teacher of the distillations. */
export default defineTraining({
  model: { build: "wide-resnet", depth: 16, width: 2 },
  data: { ...CIFAR10_DATA, augment: { shift: 4, mirror: true, cutout: 8 } },
  optimizer: { kind: "nesterov", decay: 5e-4 },
  schedule: { kind: "one-cycle", rate: 0.2, rising: 0.2 },
  epochs: 28,
  evaluate: { every: 7 },
  log: { every: 130 },
  seed: 1,
  threads: 2,
  engine: "native",
});
