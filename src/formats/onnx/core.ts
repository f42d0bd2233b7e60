/** @file The core operators by name, precisely typed: what ONNX is imported to. */
import { elementwiseOps } from "../../ops/elementwise/index.ts";
import { nnOps } from "../../ops/nn/index.ts";
import { quantOps } from "../../ops/quant/index.ts";
import { reduceOps } from "../../ops/reduce/index.ts";
import { shapeOps } from "../../ops/shape/index.ts";

export const core = {
  ...elementwiseOps,
  ...shapeOps,
  ...reduceOps,
  ...nnOps,
  ...quantOps,
};
