/** @file split: cuts a tensor along an axis into parts of given sizes, one result each. */

import { defineOp } from "../../graph/op.ts";
import { type AxisTie, eachIndex, resultPort, sameIndex } from "../../graph/ties.ts";
import { forEachIndex, offsetOf, strides } from "../../tensor/shape.ts";
import { tensorType, zeros } from "../../tensor/tensor.ts";
import { axesText, axisLabels, expectAxis, expectInputs, mover, refuse } from "./check.ts";
import { boxOf, emitStrided, movementKernel } from "./strided.ts";

export interface SplitAttrs {
  readonly axis: number;
  readonly sizes: readonly number[];
}

/** First index of each part. */
function starts(sizes: readonly number[]): number[] {
  let at = 0;
  return sizes.map((n) => {
    at += n;
    return at - n;
  });
}

export const split = defineOp<SplitAttrs>({
  name: "split",
  quant: "same",
  infer(ins, { axis, sizes }) {
    expectInputs(ins, 1);
    const { dtype, shape } = ins[0]!;
    expectAxis(axis, shape.length);
    const total = sizes.reduce((a, b) => a + b, 0);
    const bad = sizes.some((n) => !Number.isInteger(n) || n < 0);
    if (bad || sizes.length === 0 || total !== shape[axis]) {
      refuse("E_SHAPE", `sizes [${sizes}] do not add up to the ${shape[axis]} of axis ${axis}`);
    }
    return sizes.map((n) => tensorType(dtype, shape.with(axis, n)));
  },
  axes([x], { axis, sizes }) {
    const labels = axisLabels("x", x!.shape.length);
    return axesText(
      [labels],
      sizes.map((_, i) => labels.with(axis, `out${i}`)),
    );
  },
  ties([x], { axis, sizes }) {
    const ports = sizes.map((_, i) => resultPort(i));
    const all = x!.shape.flatMap((n, i): AxisTie[] =>
      i === axis ? [] : [sameIndex(n, [0, i], ...ports.map((port) => [port, i] as const))],
    );
    const at = starts(sizes);
    const parts = ports.map((port, i) => ({
      port,
      axis,
      unit: eachIndex(sizes[i]!).map((k) => at[i]! + k),
    }));
    return { all: [...all, [{ port: 0, axis, unit: eachIndex(x!.shape[axis]!) }, ...parts]] };
  },
  narrow: ({ axis, sizes }, { kept }) => ({
    attrs: { axis, sizes: sizes.map((_, i) => kept(resultPort(i), axis).length) },
  }),
  eval([x], { axis, sizes }, types) {
    const step = strides(x!.type.shape);
    const at = starts(sizes);
    return types.map((type, n) => {
      const out = zeros(type);
      const move = mover(out, x!);
      const origin = at[n]! * step[axis]!;
      forEachIndex(type.shape, (index, i) => move(i, origin + offsetOf(index, step)));
      return out;
    });
  },
  lower(types, { axis, sizes }, outTypes) {
    const { k, ins, outs } = movementKernel("split", types, outTypes);
    const step = strides(types[0]!.shape);
    const at = starts(sizes);
    outs.forEach((out, i) => {
      emitStrided(k, out, 0, ins[0]!, at[i]! * step[axis]!, boxOf(outTypes[i]!.shape, step));
    });
    return k.build();
  },
  permute: ({ axis, sizes }, perm) => ({ axis: perm.indexOf(axis), sizes }),
  samples: [
    { ins: [tensorType("f32", [2, 6])], attrs: { axis: 1, sizes: [2, 4] } },
    { ins: [tensorType("f32", [7, 3, 2])], attrs: { axis: 0, sizes: [1, 4, 2] } },
    { ins: [tensorType("i8", [2, 5, 9])], attrs: { axis: 1, sizes: [3, 0, 2] } },
    { ins: [tensorType("u16", [4])], attrs: { axis: 0, sizes: [4] } },
  ],
});
