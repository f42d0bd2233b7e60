/**
 * @file The input unchanged, and apart from it: what is computed from the result is not merged with what is computed
 * from the input, so that a value can be computed twice to save memory.
 */
import { defineOp } from "../../graph/op.ts";
import { tensorType, withType } from "../../tensor/tensor.ts";
import { broadcastAxes } from "../elementwise/factory.ts";
import { copyKernel } from "../lowering.ts";
import { expectInputs } from "./check.ts";

export interface BarrierAttrs {
  /** Barriers of one value with different numbers stay apart from one another too. */
  readonly id: number;
}

export const barrier = defineOp<BarrierAttrs>({
  name: "barrier",
  quant: "same",
  infer(ins) {
    expectInputs(ins, 1);
    return [ins[0]!];
  },
  axes: (ins) => broadcastAxes(ins, ins[0]!.shape),
  eval: (ins, _, outs) => [withType(ins[0]!, outs[0]!)],
  lower: (ins, _, outs) => copyKernel("barrier", ins[0]!, outs[0]!),
  permute: (attrs) => attrs,
  inPlace: () => 0,
  view: true,
  samples: [
    { ins: [tensorType("f32", [2, 7])], attrs: { id: 0 } },
    { ins: [tensorType("i64", [])], attrs: { id: 3 } },
  ],
});
