/** @file The input unchanged. */
import { defineOp, type NoAttrs } from "../../graph/op.ts";
import { tensorType, withType } from "../../tensor/tensor.ts";
import { copyKernel } from "../lowering.ts";
import { expectInputs } from "../shape/check.ts";
import { broadcastAxes } from "./factory.ts";

export const identity = defineOp<NoAttrs>({
  name: "identity",
  quant: "integer",
  infer(ins) {
    expectInputs(ins, 1);
    return [ins[0]!];
  },
  axes: (ins) => broadcastAxes(ins, ins[0]!.shape),
  eval: (ins, _, outs) => [withType(ins[0]!, outs[0]!)],
  lower: (ins, _, outs) => copyKernel("identity", ins[0]!, outs[0]!),
  permute: (attrs, _, ins) => (typeof ins[0]!.quant?.axis === "number" ? null : attrs),
  inPlace: () => 0,
  view: true,
  samples: [
    { ins: [tensorType("f32", [2, 7])], attrs: {} },
    { ins: [tensorType("i64", [])], attrs: {} },
    { ins: [tensorType("i8", [5], { scale: [0.1], zeroPoint: [3], axis: null })], attrs: {} },
  ],
});
