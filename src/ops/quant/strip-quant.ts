/** @file The stored integers of a quantised value as plain integers: the same bytes. */
import { defineOp, type NoAttrs } from "../../graph/op.ts";
import { tensorType, withType } from "../../tensor/tensor.ts";
import { broadcastAxes } from "../elementwise/factory.ts";
import { copyKernel } from "../lowering.ts";
import { expectInputs } from "../shape/check.ts";
import { expectQuant, perAxis, perTensor } from "./out-type.ts";

export const stripQuant = defineOp<NoAttrs>({
  name: "strip_quant",
  quant: "integer",
  infer(ins) {
    expectInputs(ins, 1);
    expectQuant(ins[0]!);
    return [tensorType(ins[0]!.dtype, ins[0]!.shape)];
  },
  axes: (ins) => broadcastAxes(ins, ins[0]!.shape),
  eval: (ins, _, outs) => [withType(ins[0]!, outs[0]!)],
  lower: (ins, _, outs) => copyKernel("strip_quant", ins[0]!, outs[0]!),
  permute: (attrs) => attrs,
  inPlace: () => 0,
  view: true,
  samples: [
    { ins: [tensorType("i8", [2, 7], perTensor(0.1, 3))], attrs: {} },
    { ins: [tensorType("u8", [3, 2], perAxis(3, 0))], attrs: {} },
  ],
});
