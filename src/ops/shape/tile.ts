/** @file tile: repeats the whole tensor `repeats[i]` times along axis i. */
import { defineOp } from "../../graph/op.ts";
import { forEachIndex, strides } from "../../tensor/shape.ts";
import { tensorType, zeros } from "../../tensor/tensor.ts";
import {
  axesText,
  axisLabels,
  expectInputs,
  expectPerAxis,
  mover,
  permuted,
  refuse,
  relabel,
} from "./check.ts";
import { type CopyAxis, emitStrided, movementKernel } from "./strided.ts";

export interface TileAttrs {
  /** One count per axis. */
  readonly repeats: readonly number[];
}

export const tile = defineOp<TileAttrs>({
  name: "tile",
  quant: "same",
  infer(ins, { repeats }) {
    expectInputs(ins, 1);
    const { dtype, shape } = ins[0]!;
    expectPerAxis(repeats, shape.length, "repeats");
    if (repeats.some((n) => n < 0)) refuse("E_SHAPE", `repeats [${repeats}] must not be negative`);
    return [
      tensorType(
        dtype,
        shape.map((n, i) => n * repeats[i]!),
      ),
    ];
  },
  axes([x], { repeats }) {
    const labels = axisLabels("x", x!.shape.length);
    return axesText([labels], [relabel(labels, (i) => repeats[i] !== 1)]);
  },
  eval([x], _attrs, [type]) {
    const out = zeros(type!);
    const move = mover(out, x!);
    const { shape } = x!.type;
    const step = strides(shape);
    forEachIndex(type!.shape, (index, i) => {
      move(
        i,
        index.reduce((sum, j, a) => sum + (j % shape[a]!) * step[a]!, 0),
      );
    });
    return [out];
  },
  lower(types, { repeats }, outTypes) {
    const { k, ins, outs } = movementKernel("tile", types, outTypes);
    const { shape } = types[0]!;
    const [src, dst] = [strides(shape), strides(outTypes[0]!.shape)];
    const box = shape.flatMap((n, i): CopyAxis[] => [
      { n: repeats[i]!, dst: dst[i]! * n, src: 0 },
      { n, dst: dst[i]!, src: src[i]! },
    ]);
    emitStrided(k, outs[0]!, 0, ins[0]!, 0, box);
    return k.build();
  },
  permute: ({ repeats }, perm) => ({ repeats: permuted(repeats, perm) }),
  samples: [
    { ins: [tensorType("f32", [2, 3])], attrs: { repeats: [2, 3] } },
    { ins: [tensorType("f32", [2, 1, 5])], attrs: { repeats: [1, 9, 1] } },
    { ins: [tensorType("u8", [3, 20])], attrs: { repeats: [3, 1] } },
    { ins: [tensorType("f16", [1])], attrs: { repeats: [21] } },
    { ins: [tensorType("i64", [2])], attrs: { repeats: [0] } },
  ],
});
