import { defineTraining } from "../../src/train/index.ts";

/** A second, shorter cycle for the WRN-16-2 that train.ts saved to out/wrn-16-2.onnx, with averaged weights. */
export default defineTraining({
  model: { file: "../../out/wrn-16-2.onnx" },
  data: {
    train: "../../../shared/data/cifar10/train.parquet",
    eval: "../../../shared/data/cifar10/test.parquet",
    batch: 128,
    mean: [0.4914, 0.4822, 0.4465],
    std: [0.2023, 0.1994, 0.201],
    augment: { shift: 4, mirror: true },
  },
  optimizer: { kind: "nesterov", decay: 5e-4, average: 0.995 },
  schedule: { kind: "one-cycle", rate: 0.1, rising: 0.2 },
  epochs: 4,
  seed: 2,
  engine: "native",
});
