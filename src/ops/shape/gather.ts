/** @file gather: slices of the data along an axis, chosen by an index tensor of any shape. */

import { defineOp } from "../../graph/op.ts";
import { type AxisTie, eachIndex, resultPort, sameIndex } from "../../graph/ties.ts";
import { add, affine, mul } from "../../kernel/build.ts";
import { elementCount, tensorOf, tensorType, zeros } from "../../tensor/tensor.ts";
import {
  axesText,
  axisLabels,
  expectAxis,
  expectDType,
  expectInputs,
  INDEX_DTYPES,
  indexReader,
  mover,
  refuse,
} from "./check.ts";
import { indexType, loadIndex } from "./indices.ts";
import { emitRun, movementKernel } from "./strided.ts";

export interface GatherAttrs {
  readonly axis: number;
}

/** Elements before, along and after the axis. */
export function around(shape: readonly number[], axis: number) {
  return {
    outer: elementCount(shape.slice(0, axis)),
    size: shape[axis]!,
    inner: elementCount(shape.slice(axis + 1)),
  };
}

export const gather = defineOp<GatherAttrs>({
  name: "gather",
  parameters: [0],
  quant: "same",
  infer(ins, { axis }) {
    expectInputs(ins, 2);
    const [x, indices] = [ins[0]!, ins[1]!];
    expectAxis(axis, x.shape.length);
    expectDType(indices, INDEX_DTYPES, "the index tensor");
    if (x.shape[axis] === 0 && elementCount(indices.shape) > 0) {
      refuse("E_SHAPE", `axis ${axis} of [${x.shape}] has no elements to gather`);
    }
    return [tensorType(x.dtype, x.shape.toSpliced(axis, 1, ...indices.shape))];
  },
  axes([x, indices], { axis }) {
    const labels = axisLabels("x", x!.shape.length);
    const chosen = axisLabels("i", indices!.shape.length);
    return axesText([labels, chosen], [labels.toSpliced(axis, 1, ...chosen)]);
  },
  ties([x, indices], { axis }, _, constant) {
    const chosen = constant(1);
    const y = resultPort(0);
    const rank = indices!.shape.length;
    const whole = x!.shape.flatMap((n, i): AxisTie[] =>
      i === axis ? [] : [sameIndex(n, [0, i], [y, i < axis ? i : i + rank - 1])],
    );
    if (chosen === undefined || rank !== 1) return { all: whole };
    const n = x!.shape[axis]!;
    const read = indexReader(chosen);
    const unit = eachIndex(chosen.data.length).map((i) => read(i, n));
    const all = [
      { port: 0, axis, unit: eachIndex(n) },
      { port: 1, axis: 0, unit },
      { port: y, axis, unit },
    ];
    return { all: [...whole, all] };
  },
  narrow(attrs, { kept, size, constant }) {
    const chosen = constant(1);
    if (chosen === undefined || chosen.type.shape.length !== 1) return { attrs };
    const { axis } = attrs;
    const place = new Map(kept(0, axis).map((k, i) => [k, i]));
    const read = indexReader(chosen);
    const values = kept(1, 0).map((i) => place.get(read(i, size(0, axis)))!);
    return { attrs, constants: { 1: tensorOf(chosen.type.dtype, [values.length], values) } };
  },
  eval([x, indices], { axis }, [type]) {
    const out = zeros(type!);
    const move = mover(out, x!);
    const index = indexReader(indices!);
    const { outer, size, inner } = around(x!.type.shape, axis);
    const count = indices!.data.length;
    for (let o = 0; o < outer; o++) {
      for (let i = 0; i < count; i++) {
        const j = index(i, size);
        for (let e = 0; e < inner; e++)
          move((o * count + i) * inner + e, (o * size + j) * inner + e);
      }
    }
    return [out];
  },
  lower(types, { axis }, outTypes) {
    const { k, ins, outs } = movementKernel("gather", types, outTypes);
    const { outer, size, inner } = around(types[0]!.shape, axis);
    const count = ins[1]!.size;
    k.forParallel("o", 0, outer, (o) =>
      k.forParallel("i", 0, count, (i) => {
        const j = loadIndex(k, ins[1]!, i, size);
        const to = k.let("to", mul(affine([o, count], i), inner));
        const from = k.let("from", mul(add(mul(o, size), j), inner));
        emitRun(k, outs[0]!, to, ins[0]!, from, inner);
      }),
    );
    return k.build();
  },
  permute: ({ axis }, perm, [, indices]) =>
    indices!.shape.length === 1 ? { axis: perm.indexOf(axis) } : null,
  samples: [
    {
      ins: [tensorType("f32", [4, 3, 2]), indexType([2, 2])],
      attrs: { axis: 1 },
      values: { 1: [0, 2, -1, 1] },
    },
    {
      ins: [tensorType("f32", [5, 40]), indexType([3], "i32")],
      attrs: { axis: 0 },
      values: { 1: [4, -5, 2] },
    },
    {
      ins: [tensorType("i8", [3, 6]), indexType([4])],
      attrs: { axis: 1 },
      values: { 1: [5, 5, 0, -2] },
    },
    { ins: [tensorType("i64", [6]), indexType([])], attrs: { axis: 0 }, values: { 1: [-1] } },
    { ins: [tensorType("bf16", [2, 3]), indexType([0])], attrs: { axis: 1 }, values: { 1: [] } },
  ],
});
