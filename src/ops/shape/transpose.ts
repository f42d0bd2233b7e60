/** @file transpose: result axis i is input axis perm[i]. */
import { defineOp } from "../../graph/op.ts";
import { forEachIndex, invertPermutation, offsetOf, strides } from "../../tensor/shape.ts";
import { tensorType, zeros } from "../../tensor/tensor.ts";
import { axesText, axisLabels, expectInputs, mover, permuted, range, refuse } from "./check.ts";
import { boxOf, emitStrided, movementKernel } from "./strided.ts";

export interface TransposeAttrs {
  readonly perm: readonly number[];
}

export const transpose = defineOp<TransposeAttrs>({
  name: "transpose",
  quant: "same",
  infer(ins, { perm }) {
    expectInputs(ins, 1);
    const { dtype, shape } = ins[0]!;
    if (perm.length !== shape.length || range(shape.length).some((i) => !perm.includes(i))) {
      refuse("E_SHAPE", `[${perm}] is not a permutation of the axes of [${shape}]`);
    }
    return [
      tensorType(
        dtype,
        perm.map((p) => shape[p]!),
      ),
    ];
  },
  axes([x], { perm }) {
    const labels = axisLabels("x", x!.shape.length);
    return axesText([labels], [perm.map((p) => labels[p]!)]);
  },
  eval([x], { perm }, [type]) {
    const out = zeros(type!);
    const move = mover(out, x!);
    const step = permuted(strides(x!.type.shape), perm);
    forEachIndex(type!.shape, (index, i) => move(i, offsetOf(index, step)));
    return [out];
  },
  lower(types, { perm }, outTypes) {
    const { k, ins, outs } = movementKernel("transpose", types, outTypes);
    const step = permuted(strides(types[0]!.shape), perm);
    emitStrided(k, outs[0]!, 0, ins[0]!, 0, boxOf(outTypes[0]!.shape, step));
    return k.build();
  },
  permute(attrs, perm) {
    const inverse = invertPermutation(perm);
    return { perm: perm.map((p) => inverse[attrs.perm[p]!]!) };
  },
  samples: [
    { ins: [tensorType("f32", [2, 5, 6, 7])], attrs: { perm: [0, 2, 3, 1] } },
    { ins: [tensorType("f32", [9, 37])], attrs: { perm: [1, 0] } },
    { ins: [tensorType("f32", [1, 8, 40, 12])], attrs: { perm: [0, 3, 1, 2] } },
    { ins: [tensorType("i8", [33, 18])], attrs: { perm: [1, 0] } },
    { ins: [tensorType("f16", [3, 9, 10])], attrs: { perm: [0, 2, 1] } },
    { ins: [tensorType("i64", [5, 3, 4])], attrs: { perm: [2, 0, 1] } },
    { ins: [tensorType("f64", [2, 3, 4, 5])], attrs: { perm: [1, 0, 2, 3] } },
    { ins: [tensorType("u8", [1, 6, 3])], attrs: { perm: [1, 2, 0] } },
    { ins: [tensorType("f32", [6, 5, 3])], attrs: { perm: [2, 1, 0] } },
    { ins: [tensorType("bool", [])], attrs: { perm: [] } },
  ],
});
