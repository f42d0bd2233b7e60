import { defineTraining } from "../../src/train/index.ts";

/** Data and training on CIFAR-10 for `tersor prune --config`. */
export default defineTraining({
  model: { build: "resnet8" },
  data: {
    train: "../../../shared/data/cifar10/train.parquet",
    eval: "../../../shared/data/cifar10/test.parquet",
    batch: 128,
    mean: [0.4914, 0.4822, 0.4465],
    std: [0.2023, 0.1994, 0.201],
    augment: { shift: 4, mirror: true },
  },
  optimizer: { kind: "nesterov", decay: 5e-4 },
  schedule: { kind: "one-cycle", rate: 0.1, rising: 0.2 },
  epochs: 8,
  evaluate: { every: 4 },
  log: { every: 130 },
});
