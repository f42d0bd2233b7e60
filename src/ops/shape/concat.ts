/** @file concat: any number of tensors one after the other along an axis. */

import { defineOp } from "../../graph/op.ts";
import { type AxisTie, eachIndex, resultPort, sameIndex } from "../../graph/ties.ts";
import { forEachIndex, offsetOf, strides } from "../../tensor/shape.ts";
import { type Shape, sameShape, tensorType, zeros } from "../../tensor/tensor.ts";
import { axesText, axisLabels, expectAxis, expectInputs, mover, refuse } from "./check.ts";
import { boxOf, emitStrided, movementKernel } from "./strided.ts";

export interface ConcatAttrs {
  readonly axis: number;
}

/** Offset in the result of each input, in elements. */
function offsets(shapes: readonly Shape[], axis: number, result: Shape): number[] {
  const step = strides(result)[axis]!;
  let at = 0;
  return shapes.map((shape) => {
    const offset = at * step;
    at += shape[axis]!;
    return offset;
  });
}

export const concat = defineOp<ConcatAttrs>({
  name: "concat",
  quant: "same",
  infer(ins, { axis }) {
    expectInputs(ins, 1, Number.POSITIVE_INFINITY);
    const { dtype, shape } = ins[0]!;
    expectAxis(axis, shape.length);
    for (const t of ins) {
      if (t.dtype !== dtype) refuse("E_DTYPE", `inputs are ${dtype} and ${t.dtype}, expected one`);
      if (!sameShape(t.shape.toSpliced(axis, 1), shape.toSpliced(axis, 1))) {
        refuse("E_SHAPE", `[${shape}] and [${t.shape}] differ in more than axis ${axis}`);
      }
    }
    const total = ins.reduce((sum, t) => sum + t.shape[axis]!, 0);
    return [tensorType(dtype, shape.with(axis, total))];
  },
  axes(ins, { axis }) {
    const labels = axisLabels("x", ins[0]!.shape.length);
    const sides = ins.map((_, i) => labels.with(axis, `in${i}`));
    return axesText(sides, [labels.with(axis, "out")]);
  },
  ties(ins, { axis }, [out]) {
    const y = resultPort(0);
    const all = out!.shape.flatMap((n, i): AxisTie[] =>
      i === axis ? [] : [sameIndex(n, ...ins.map((_, port) => [port, i] as const), [y, i])],
    );
    let at = 0;
    const parts = ins.map((t, port) => {
      const first = at;
      at += t.shape[axis]!;
      return { port, axis, unit: eachIndex(t.shape[axis]!).map((i) => first + i) };
    });
    return { all: [...all, [...parts, { port: y, axis, unit: eachIndex(out!.shape[axis]!) }]] };
  },
  eval(ins, { axis }, [type]) {
    const out = zeros(type!);
    const step = strides(type!.shape);
    const shapes = ins.map((t) => t.type.shape);
    const at = offsets(shapes, axis, type!.shape);
    ins.forEach((x, n) => {
      const move = mover(out, x);
      forEachIndex(shapes[n]!, (index, i) => move(at[n]! + offsetOf(index, step), i));
    });
    return [out];
  },
  lower(types, { axis }, outTypes) {
    const { k, ins, outs } = movementKernel("concat", types, outTypes);
    const result = outTypes[0]!.shape;
    const shapes = types.map((t) => t.shape);
    const at = offsets(shapes, axis, result);
    ins.forEach((x, i) => {
      const shape = shapes[i]!;
      emitStrided(k, outs[0]!, at[i]!, x, 0, boxOf(shape, strides(shape), strides(result)));
    });
    return k.build();
  },
  permute: ({ axis }, perm) => ({ axis: perm.indexOf(axis) }),
  samples: [
    { ins: [tensorType("f32", [2, 3]), tensorType("f32", [4, 3])], attrs: { axis: 0 } },
    {
      ins: [
        tensorType("f32", [2, 3, 5]),
        tensorType("f32", [2, 1, 5]),
        tensorType("f32", [2, 4, 5]),
      ],
      attrs: { axis: 1 },
    },
    { ins: [tensorType("i8", [3, 7]), tensorType("i8", [3, 70])], attrs: { axis: 1 } },
    { ins: [tensorType("f16", [3, 1]), tensorType("f16", [3, 0])], attrs: { axis: 1 } },
    { ins: [tensorType("i64", [2, 2])], attrs: { axis: 1 } },
  ],
});
