/** @file expand: repeats axes of extent 1 to a shape, as NumPy broadcasting does. */

import { defineOp } from "../../graph/op.ts";
import { resultPort } from "../../graph/ties.ts";
import { broadcast, broadcastStrides, forEachIndex, offsetOf } from "../../tensor/shape.ts";
import { sameShape, tensorType, zeros } from "../../tensor/tensor.ts";
import { axesText, expectInputs, expectPerAxis, mover, permuted, refuse } from "./check.ts";
import { boxOf, emitStrided, movementKernel } from "./strided.ts";

export interface ExpandAttrs {
  /** The full shape of the result. */
  readonly shape: readonly number[];
}

export const expand = defineOp<ExpandAttrs>({
  name: "expand",
  quant: "same",
  infer(ins, { shape }) {
    expectInputs(ins, 1);
    expectPerAxis(shape, shape.length, "shape");
    const x = ins[0]!;
    const all = broadcast(x.shape, shape);
    if (all === null || !sameShape(all, shape)) {
      refuse("E_SHAPE", `cannot expand [${x.shape}] to [${shape}]`);
    }
    return [tensorType(x.dtype, shape)];
  },
  axes([x], { shape }) {
    const skip = shape.length - x!.shape.length;
    const result = shape.map((n, i) => (i >= skip && x!.shape[i - skip] === n ? `x${i}` : `y${i}`));
    return axesText([x!.shape.map((_, i) => `x${i + skip}`)], [result]);
  },
  narrow: ({ shape }, { kept }) => ({
    attrs: { shape: shape.map((_, i) => kept(resultPort(0), i).length) },
  }),
  eval([x], _attrs, [type]) {
    const out = zeros(type!);
    const move = mover(out, x!);
    const step = broadcastStrides(x!.type.shape, type!.shape);
    forEachIndex(type!.shape, (index, i) => move(i, offsetOf(index, step)));
    return [out];
  },
  lower(types, _attrs, outTypes) {
    const { k, ins, outs } = movementKernel("expand", types, outTypes);
    const { shape } = outTypes[0]!;
    const step = broadcastStrides(types[0]!.shape, shape);
    emitStrided(k, outs[0]!, 0, ins[0]!, 0, boxOf(shape, step));
    return k.build();
  },
  permute: ({ shape }, perm, [x]) =>
    x!.shape.length === shape.length ? { shape: permuted(shape, perm) } : null,
  samples: [
    { ins: [tensorType("f32", [2, 1, 3])], attrs: { shape: [2, 4, 3] } },
    { ins: [tensorType("f32", [3, 1])], attrs: { shape: [2, 3, 11] } },
    { ins: [tensorType("i8", [1])], attrs: { shape: [5, 7] } },
    { ins: [tensorType("bf16", [])], attrs: { shape: [3] } },
    { ins: [tensorType("i64", [1, 2])], attrs: { shape: [0, 2] } },
  ],
});
