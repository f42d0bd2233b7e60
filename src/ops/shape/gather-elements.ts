/** @file gather_elements: each result element takes its own index along one axis. */
import { defineOp } from "../../graph/op.ts";
import { add, mul } from "../../kernel/build.ts";
import { forEachIndex, offsetOf, strides } from "../../tensor/shape.ts";
import { elementCount, type Shape, tensorType, zeros } from "../../tensor/tensor.ts";
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
import { boxOf, mergeAxes, movementKernel, nestParallel } from "./strided.ts";

export interface GatherElementsAttrs {
  readonly axis: number;
}

/** The index tensor must fit the data on every axis but one. */
export function expectElementIndices(data: Shape, indices: Shape, axis: number): void {
  const fits =
    indices.length === data.length && indices.every((n, i) => i === axis || n <= data[i]!);
  if (!fits) refuse("E_SHAPE", `indices [${indices}] do not fit data [${data}] on axis ${axis}`);
  if (data[axis] === 0 && elementCount(indices) > 0) {
    refuse("E_SHAPE", `axis ${axis} of [${data}] has no elements`);
  }
}

/** Steps in the data for one element of the index tensor, the indexed axis excepted. */
export const dataSteps = (data: Shape, axis: number): number[] => strides(data).with(axis, 0);

export const gatherElements = defineOp<GatherElementsAttrs>({
  name: "gather_elements",
  quant: "same",
  infer(ins, { axis }) {
    expectInputs(ins, 2);
    const [x, indices] = [ins[0]!, ins[1]!];
    expectAxis(axis, x.shape.length);
    expectDType(indices, INDEX_DTYPES, "the index tensor");
    expectElementIndices(x.shape, indices.shape, axis);
    return [tensorType(x.dtype, indices.shape)];
  },
  axes([x, indices], { axis }) {
    const labels = axisLabels("i", x!.shape.length);
    const data = labels.map((label, i) =>
      i === axis || x!.shape[i] !== indices!.shape[i] ? `x${i}` : label,
    );
    return axesText([data, labels], [labels]);
  },
  eval([x, indices], { axis }, [type]) {
    const out = zeros(type!);
    const move = mover(out, x!);
    const read = indexReader(indices!);
    const { shape } = x!.type;
    const step = strides(shape);
    forEachIndex(type!.shape, (index, i) => {
      move(i, offsetOf(index.with(axis, read(i, shape[axis]!)), step));
    });
    return [out];
  },
  lower(types, { axis }, outTypes) {
    const { k, ins, outs } = movementKernel("gather_elements", types, outTypes);
    const { shape } = types[0]!;
    const step = strides(shape)[axis]!;
    const box = mergeAxes(boxOf(outTypes[0]!.shape, dataSteps(shape, axis)));
    if (outs[0]!.size === 0) return k.build();
    nestParallel(k, box, 0, 0, (to, from) => {
      const j = loadIndex(k, ins[1]!, to, shape[axis]!);
      k.store(outs[0]!, to, k.load(ins[0]!, add(from, mul(j, step))));
    });
    return k.build();
  },
  permute: ({ axis }, perm) => ({ axis: perm.indexOf(axis) }),
  samples: [
    {
      ins: [tensorType("f32", [3, 3]), indexType([2, 3])],
      attrs: { axis: 0 },
      values: { 1: [1, 2, 0, 2, 0, -3] },
    },
    {
      ins: [tensorType("f16", [2, 2]), indexType([2, 3], "i32")],
      attrs: { axis: 1 },
      values: { 1: [0, 0, 1, -1, 0, 1] },
    },
    {
      ins: [tensorType("u8", [2, 3, 2]), indexType([2, 1, 2])],
      attrs: { axis: 1 },
      values: { 1: [2, 1, 0, -1] },
    },
  ],
});
