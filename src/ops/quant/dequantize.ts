/** @file Quantised integers to the f32 values they stand for. */
import { defineOp, type NoAttrs, type Sample } from "../../graph/op.ts";
import { dequantizeTensor } from "../../tensor/quant.ts";
import { tensorType } from "../../tensor/tensor.ts";
import { broadcastAxes } from "../elementwise/factory.ts";
import { elementwiseKernel } from "../elementwise/nest.ts";
import { expectInputs } from "../shape/check.ts";
import { expectQuant, perAxis, perTensor } from "./out-type.ts";

function samples(): Sample<NoAttrs>[] {
  return [
    tensorType("i8", [2, 3, 7], perTensor(0.013, -5)),
    tensorType("u8", [33], perTensor(0.02, 128)),
    tensorType("i8", [], perTensor(0.02, 1)),
    tensorType("i16", [9], perTensor(0.0001, 3)),
    tensorType("i32", [5], perTensor(0.001, 0)),
    tensorType("i8", [2, 5, 3], perAxis(5, 1)),
    tensorType("i32", [5], perAxis(5, 0)),
  ].map((t) => ({ ins: [t], attrs: {}, tolerance: 0 }));
}

export const dequantize = defineOp<NoAttrs>({
  name: "dequantize",
  quant: "integer",
  infer(ins) {
    expectInputs(ins, 1);
    expectQuant(ins[0]!);
    return [tensorType("f32", ins[0]!.shape)];
  },
  axes: (ins) => broadcastAxes(ins, ins[0]!.shape),
  eval: (ins) => [dequantizeTensor(ins[0]!)],
  lower: (ins, _, outs) =>
    elementwiseKernel({
      name: "dequantize",
      ins,
      out: outs[0]!,
      compute: ([x]) => x!,
      vector: true,
      short: true,
    }),
  permute: (attrs) => attrs,
  samples: samples(),
});
