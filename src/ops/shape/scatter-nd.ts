/** @file scatter_nd: the data with slices replaced or combined, chosen by index tuples. */
import { defineOp } from "../../graph/op.ts";
import { add, mul } from "../../kernel/build.ts";
import { sameShape, type TensorType, tensorType, zeros } from "../../tensor/tensor.ts";
import { expectDType, expectInputs, INDEX_DTYPES, mover, refuse } from "./check.ts";
import { loadTuple, tupleGeometry, tupleReader } from "./gather-nd.ts";
import { indexType } from "./indices.ts";
import { emitUpdate, type Reduction, scatterKernel, scatterType, updater } from "./scatter-rule.ts";
import { emitRun } from "./strided.ts";

export interface ScatterNdAttrs {
  /** How an update meets the element; several updates of one element apply in order. */
  readonly reduction: Reduction;
}

const f32 = (...shape: number[]): TensorType => tensorType("f32", shape);

export const scatterNd = defineOp<ScatterNdAttrs>({
  name: "scatter_nd",
  quant: "integer",
  infer(ins, { reduction }) {
    expectInputs(ins, 3);
    const [data, indices, updates] = [ins[0]!, ins[1]!, ins[2]!];
    expectDType(indices, INDEX_DTYPES, "the index tensor");
    const { width } = tupleGeometry(data.shape, indices.shape, 0);
    const want = [...indices.shape.slice(0, -1), ...data.shape.slice(width)];
    if (!sameShape(want, updates.shape)) {
      refuse("E_SHAPE", `updates are [${updates.shape}], expected [${want}]`);
    }
    return [scatterType(data, updates, reduction)];
  },
  axes: () => null,
  eval([data, indices, updates], { reduction }, [type]) {
    const out = zeros(type!);
    const move = mover(out, data!);
    for (let i = 0; i < out.data.length; i++) move(i, i);
    const update = updater(out, updates!, reduction);
    const g = tupleGeometry(type!.shape, indices!.type.shape, 0);
    const offset = tupleReader(indices!, g);
    for (let t = 0; t < g.tuples; t++) {
      const at = offset(t);
      for (let e = 0; e < g.slice; e++) update(at + e, t * g.slice + e);
    }
    return [out];
  },
  lower(types, { reduction }, outTypes) {
    const g = tupleGeometry(types[0]!.shape, types[1]!.shape, 0);
    const { k, out, indices, updates } = scatterKernel("scatter_nd", types, outTypes, reduction);
    k.for("t", 0, g.tuples, (t) => {
      const at = k.let("at", loadTuple(k, indices, t, g));
      const from = k.let("from", mul(t, g.slice));
      if (reduction === "none") emitRun(k, out, at, updates, from, g.slice);
      else {
        k.for("e", 0, g.slice, (e) => {
          const to = k.let("to", add(at, e));
          emitUpdate(k, out, to, k.load(updates, add(from, e)), reduction);
        });
      }
    });
    return k.build();
  },
  samples: [
    {
      ins: [f32(4, 3), indexType([2, 1]), f32(2, 3)],
      attrs: { reduction: "none" },
      values: { 1: [3, -3] },
    },
    {
      ins: [tensorType("bf16", [2, 3, 2]), indexType([2, 2], "i32"), tensorType("bf16", [2, 2])],
      attrs: { reduction: "none" },
      values: { 1: [0, 1, 1, 2] },
    },
    {
      ins: [f32(5), indexType([3, 1]), f32(3)],
      attrs: { reduction: "add" },
      values: { 1: [1, 1, 4] },
    },
    {
      ins: [tensorType("u32", [2, 2]), indexType([3, 2]), tensorType("u32", [3])],
      attrs: { reduction: "max" },
      values: { 1: [0, 0, 0, 0, 1, 1] },
    },
    {
      ins: [tensorType("i32", [3]), indexType([2, 1]), tensorType("i32", [2])],
      attrs: { reduction: "mul" },
      values: { 1: [2, 2] },
    },
  ],
});
