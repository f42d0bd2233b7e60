/** @file Plain integers declared to be quantised: the same bytes, now standing for reals. */
import { defineOp, type OutQuant } from "../../graph/op.ts";
import { tensorType, withType } from "../../tensor/tensor.ts";
import { broadcastAxes, expectOperands } from "../elementwise/factory.ts";
import { copyKernel } from "../lowering.ts";
import { perAxis, permuteQuant, perTensor, quantisedType } from "./out-type.ts";

export interface AssumeQuantAttrs {
  readonly out: OutQuant;
}

export const assumeQuant = defineOp<AssumeQuantAttrs>({
  name: "assume_quant",
  quant: "integer",
  infer(ins, { out }) {
    expectOperands(ins, 1, [out.dtype]);
    return [quantisedType(out, ins[0]!.shape)];
  },
  axes: (ins) => broadcastAxes(ins, ins[0]!.shape),
  eval: (ins, _, outs) => [withType(ins[0]!, outs[0]!)],
  lower: (ins, _, outs) => copyKernel("assume_quant", ins[0]!, outs[0]!),
  permute: (attrs, perm) => ({ out: permuteQuant(attrs.out, perm) }),
  inPlace: () => 0,
  view: true,
  samples: [
    { ins: [tensorType("i8", [2, 7])], attrs: { out: { dtype: "i8", ...perTensor(0.1, 3) } } },
    { ins: [tensorType("u8", [3, 2])], attrs: { out: { dtype: "u8", ...perAxis(3, 0) } } },
  ],
});
