import { defineTraining } from "../../src/train/index.ts";
import float from "./train.config.ts";

/** Trains the trained LeNet-5 on with fake quantisers of 8 bits; out comes the integer model. */
export default defineTraining({
  ...float,
  model: { file: "../../out/mnist/float/model.onnx" },
  quantize: { scheme: "minmax" },
  schedule: { kind: "cosine", rate: 0.002 },
  epochs: 2,
});
