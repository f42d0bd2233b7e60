/** @file f32 to quantised integers: clamp(rne(x / scale) + zeroPoint). */
import { defineOp, type OutQuant, type Sample } from "../../graph/op.ts";
import { quantizeTensor } from "../../tensor/quant.ts";
import { tensorType } from "../../tensor/tensor.ts";
import { broadcastAxes, expectOperands } from "../elementwise/factory.ts";
import { elementwiseKernel } from "../elementwise/nest.ts";
import { perAxis, permuteQuant, perTensor, quantisedType } from "./out-type.ts";

export interface QuantizeAttrs {
  readonly out: OutQuant;
}

const f32 = (...shape: number[]) => tensorType("f32", shape);

function samples(): Sample<QuantizeAttrs>[] {
  const all: Sample<QuantizeAttrs>[] = [
    { ins: [f32(2, 3, 7)], attrs: { out: { dtype: "i8", ...perTensor(0.013, -5) } } },
    { ins: [f32(33)], attrs: { out: { dtype: "u8", ...perTensor(0.02, 128) } } },
    { ins: [f32()], attrs: { out: { dtype: "u8", ...perTensor(0.001, 0) } } },
    { ins: [f32(5, 4)], attrs: { out: { dtype: "i16", ...perTensor(0.0001, 3) } } },
    { ins: [f32(9)], attrs: { out: { dtype: "u16", ...perTensor(0.0001, 40000) } } },
    { ins: [f32(9)], attrs: { out: { dtype: "i32", ...perTensor(1e-10, 7) } } },
    { ins: [f32(2, 5, 3)], attrs: { out: { dtype: "i8", ...perAxis(5, 1) } } },
    { ins: [f32(5, 8)], attrs: { out: { dtype: "i8", ...perAxis(5, 0) } } },
    {
      ins: [f32(8)],
      attrs: { out: { dtype: "i8", ...perTensor(0.5, 1) } },
      values: { 0: [0.25, 0.75, -0.25, Number.NaN, 1e9, -1e9, Number.POSITIVE_INFINITY, -0] },
    },
  ];
  return all.map((s) => ({ ...s, tolerance: 0 }));
}

export const quantize = defineOp<QuantizeAttrs>({
  name: "quantize",
  quant: "integer",
  infer(ins, { out }) {
    expectOperands(ins, 1, ["f32"]);
    return [quantisedType(out, ins[0]!.shape)];
  },
  axes: (ins) => broadcastAxes(ins, ins[0]!.shape),
  eval: (ins, _, outs) => [quantizeTensor(ins[0]!, outs[0]!.dtype, outs[0]!.quant!)],
  lower: (ins, _, outs) =>
    elementwiseKernel({
      name: "quantize",
      ins,
      out: outs[0]!,
      compute: ([x]) => x!,
      vector: true,
      short: true,
    }),
  permute: (attrs, perm) => ({ out: permuteQuant(attrs.out, perm) }),
  samples: samples(),
});
