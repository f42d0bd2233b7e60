/** @file slice: `size` elements of every axis, from `start` on, `step` apart. */

import { defineOp } from "../../graph/op.ts";
import { type AxisTie, eachIndex, resultPort } from "../../graph/ties.ts";
import { forEachIndex, offsetOf, strides } from "../../tensor/shape.ts";
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
import { boxOf, emitStrided, movementKernel } from "./strided.ts";

/** One entry per axis. */
export interface SliceAttrs {
  /** First index taken, 0..n-1 (anything when the size is 0). */
  readonly start: readonly number[];
  /** Number of elements taken. */
  readonly size: readonly number[];
  /** Distance of two elements taken; may be negative. */
  readonly step: readonly number[];
}

/** Steps of the source for one element along each axis of the result. */
const sourceSteps = (shape: readonly number[], step: readonly number[]): number[] =>
  strides(shape).map((s, i) => s * step[i]!);

export const slice = defineOp<SliceAttrs>({
  name: "slice",
  quant: "same",
  infer(ins, { start, size, step }) {
    expectInputs(ins, 1);
    const { dtype, shape } = ins[0]!;
    expectPerAxis(start, shape.length, "start");
    expectPerAxis(size, shape.length, "size");
    expectPerAxis(step, shape.length, "step");
    shape.forEach((n, i) => {
      const first = start[i]!;
      const last = first + (size[i]! - 1) * step[i]!;
      const inside = size[i] === 0 || (first >= 0 && first < n && last >= 0 && last < n);
      if (size[i]! >= 0 && inside) return;
      refuse("E_SHAPE", `axis ${i} has ${n} elements, the slice takes ${first}..${last}`);
    });
    return [tensorType(dtype, size)];
  },
  axes([x], { size, step }) {
    const labels = axisLabels("x", x!.shape.length);
    const whole = (i: number): boolean => size[i] === x!.shape[i] && step[i] === 1;
    return axesText([labels], [relabel(labels, (i) => !whole(i))]);
  },
  ties: ([x], { start, size, step }) => ({
    all: x!.shape.flatMap((n, axis): AxisTie[] => {
      if (step[axis] !== 1) return [];
      const taken = eachIndex(size[axis]!).map((i) => start[axis]! + i);
      const source = { port: 0, axis, unit: eachIndex(n) };
      return [[source, { port: resultPort(0), axis, unit: taken }]];
    }),
  }),
  narrow: ({ start, size, step }, { kept }) => ({
    attrs: {
      start: start.map((s, i) => (step[i] === 1 ? kept(0, i).findLastIndex((k) => k < s) + 1 : s)),
      size: size.map((_, i) => kept(resultPort(0), i).length),
      step,
    },
  }),
  eval([x], { start, step }, [type]) {
    const out = zeros(type!);
    const move = mover(out, x!);
    const origin = offsetOf(start, strides(x!.type.shape));
    const steps = sourceSteps(x!.type.shape, step);
    forEachIndex(type!.shape, (index, i) => move(i, origin + offsetOf(index, steps)));
    return [out];
  },
  lower(types, { start, step }, outTypes) {
    const { k, ins, outs } = movementKernel("slice", types, outTypes);
    const { shape } = types[0]!;
    const box = boxOf(outTypes[0]!.shape, sourceSteps(shape, step));
    emitStrided(k, outs[0]!, 0, ins[0]!, offsetOf(start, strides(shape)), box);
    return k.build();
  },
  permute: ({ start, size, step }, perm) => ({
    start: permuted(start, perm),
    size: permuted(size, perm),
    step: permuted(step, perm),
  }),
  samples: [
    {
      ins: [tensorType("f32", [4, 6, 5])],
      attrs: { start: [1, 0, 2], size: [2, 6, 3], step: [1, 1, 1] },
    },
    { ins: [tensorType("f32", [7, 9])], attrs: { start: [6, 8], size: [3, 4], step: [-3, -2] } },
    { ins: [tensorType("i8", [3, 100])], attrs: { start: [0, 1], size: [3, 98], step: [1, 1] } },
    { ins: [tensorType("bf16", [5, 4])], attrs: { start: [0, 1], size: [2, 2], step: [2, 2] } },
    { ins: [tensorType("i64", [6])], attrs: { start: [5], size: [6], step: [-1] } },
    { ins: [tensorType("f32", [3, 2])], attrs: { start: [0, 0], size: [0, 2], step: [1, 1] } },
    { ins: [tensorType("f32", [])], attrs: { start: [], size: [], step: [] } },
  ],
});
