/** @file scatter_elements: the data with single elements replaced or combined, each by its own index. */
import { defineOp } from "../../graph/op.ts";
import { add, mul } from "../../kernel/build.ts";
import { forEachIndex, offsetOf, strides } from "../../tensor/shape.ts";
import { sameShape, type TensorType, tensorType, zeros } from "../../tensor/tensor.ts";
import {
  expectAxis,
  expectDType,
  expectInputs,
  INDEX_DTYPES,
  indexReader,
  mover,
  refuse,
} from "./check.ts";
import { dataSteps, expectElementIndices } from "./gather-elements.ts";
import { indexType, loadIndex } from "./indices.ts";
import { emitUpdate, type Reduction, scatterKernel, scatterType, updater } from "./scatter-rule.ts";
import { boxOf, mergeAxes, nest } from "./strided.ts";

export interface ScatterElementsAttrs {
  readonly axis: number;
  /** How an update meets the element; several updates of one element apply in order. */
  readonly reduction: Reduction;
}

const f32 = (...shape: number[]): TensorType => tensorType("f32", shape);

export const scatterElements = defineOp<ScatterElementsAttrs>({
  name: "scatter_elements",
  quant: "integer",
  infer(ins, { axis, reduction }) {
    expectInputs(ins, 3);
    const [data, indices, updates] = [ins[0]!, ins[1]!, ins[2]!];
    expectAxis(axis, data.shape.length);
    expectDType(indices, INDEX_DTYPES, "the index tensor");
    expectElementIndices(data.shape, indices.shape, axis);
    if (!sameShape(indices.shape, updates.shape)) {
      refuse("E_SHAPE", `indices [${indices.shape}] and updates [${updates.shape}] differ`);
    }
    return [scatterType(data, updates, reduction)];
  },
  axes: () => null,
  eval([data, indices, updates], { axis, reduction }, [type]) {
    const out = zeros(type!);
    const move = mover(out, data!);
    for (let i = 0; i < out.data.length; i++) move(i, i);
    const update = updater(out, updates!, reduction);
    const read = indexReader(indices!);
    const step = strides(type!.shape);
    forEachIndex(indices!.type.shape, (index, i) => {
      update(offsetOf(index.with(axis, read(i, type!.shape[axis]!)), step), i);
    });
    return [out];
  },
  lower(types, { axis, reduction }, outTypes) {
    const { shape } = types[0]!;
    const { k, out, indices, updates } = scatterKernel(
      "scatter_elements",
      types,
      outTypes,
      reduction,
    );
    if (indices.size === 0) return k.build();
    const step = strides(shape)[axis]!;
    nest(k, mergeAxes(boxOf(types[1]!.shape, dataSteps(shape, axis))), 0, 0, (i, base) => {
      const at = k.let("at", add(base, mul(loadIndex(k, indices, i, shape[axis]!), step)));
      const update = k.load(updates, i);
      if (reduction === "none") k.store(out, at, update);
      else emitUpdate(k, out, at, update, reduction);
    });
    return k.build();
  },
  permute: ({ axis, reduction }, perm) => ({ axis: perm.indexOf(axis), reduction }),
  samples: [
    {
      ins: [f32(3, 3), indexType([2, 3]), f32(2, 3)],
      attrs: { axis: 0, reduction: "none" },
      values: { 1: [1, 0, 2, 0, 2, -2] },
    },
    {
      ins: [f32(1, 5), indexType([1, 3]), f32(1, 3)],
      attrs: { axis: 1, reduction: "add" },
      values: { 1: [1, 1, -1] },
    },
    {
      ins: [tensorType("u8", [2, 3]), indexType([2, 2], "i32"), tensorType("u8", [2, 2])],
      attrs: { axis: 1, reduction: "mul" },
      values: { 1: [0, 2, 1, 1] },
    },
    {
      ins: [tensorType("i64", [4]), indexType([5]), tensorType("i64", [5])],
      attrs: { axis: 0, reduction: "max" },
      values: { 1: [0, 0, 3, 2, 3] },
    },
    {
      ins: [tensorType("f16", [4]), indexType([3]), tensorType("f16", [3])],
      attrs: { axis: 0, reduction: "min" },
      values: { 1: [0, 0, 3] },
    },
  ],
});
