import { defineTraining } from "../../src/train/index.ts";
import base from "./prune-cifar10.config.ts";

/** The same for ResNet-8, which also learns from what it was before: out/resnet8.onnx. */
export default defineTraining({
  ...base,
  loss: {
    kind: "distillation",
    teacher: "../../out/resnet8.onnx",
    temperature: 4,
    alpha: 0.5,
  },
});
