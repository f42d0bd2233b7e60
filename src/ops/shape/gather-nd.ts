/** @file gather_nd: slices of the data chosen by index tuples, per batch. */
import { defineOp } from "../../graph/op.ts";
import { add, type KernelBuilder, mul } from "../../kernel/build.ts";
import type { Buffer, Expr } from "../../kernel/ir.ts";
import { strides } from "../../tensor/shape.ts";
import {
  elementCount,
  type Shape,
  sameShape,
  type Tensor,
  tensorType,
  zeros,
} from "../../tensor/tensor.ts";
import {
  axesText,
  axisLabels,
  expectDType,
  expectInputs,
  INDEX_DTYPES,
  indexReader,
  mover,
  range,
  refuse,
} from "./check.ts";
import { indexType, loadIndex } from "./indices.ts";
import { emitRun, movementKernel } from "./strided.ts";

export interface GatherNdAttrs {
  /** Leading axes that data and indices share. */
  readonly batchDims: number;
}

/** How index tuples address a tensor. */
export interface TupleGeometry {
  /** Extents of the batch, tuples in it, and numbers in a tuple. */
  readonly batch: number;
  readonly tuples: number;
  readonly width: number;
  /** Extents and steps of the axes that a tuple addresses. */
  readonly sizes: readonly number[];
  readonly steps: readonly number[];
  /** Elements of one slice, and of the data of one batch. */
  readonly slice: number;
  readonly perBatch: number;
}

/** Checks the shapes and works out the geometry. */
export function tupleGeometry(data: Shape, indices: Shape, batchDims: number): TupleGeometry {
  const width = indices.at(-1) ?? 0;
  const fits =
    indices.length > batchDims &&
    sameShape(data.slice(0, batchDims), indices.slice(0, batchDims)) &&
    batchDims + width <= data.length;
  if (!fits) refuse("E_SHAPE", `indices [${indices}] do not address data [${data}]`);
  const sizes = data.slice(batchDims, batchDims + width);
  const tuples = elementCount(indices.slice(batchDims, -1));
  if (sizes.includes(0) && tuples > 0) refuse("E_SHAPE", `data [${data}] has no elements`);
  return {
    batch: elementCount(data.slice(0, batchDims)),
    tuples,
    width,
    sizes,
    steps: strides(data).slice(batchDims, batchDims + width),
    slice: elementCount(data.slice(batchDims + width)),
    perBatch: elementCount(data.slice(batchDims)),
  };
}

/** Offset of the slice that tuple t addresses, within its batch. */
export function tupleReader(indices: Tensor, g: TupleGeometry): (t: number) => number {
  const read = indexReader(indices);
  return (t) => g.sizes.reduce((sum, n, i) => sum + read(t * g.width + i, n) * g.steps[i]!, 0);
}

/** The same in kernel IR; `t` is the tuple's number. */
export function loadTuple(k: KernelBuilder, indices: Buffer, t: Expr, g: TupleGeometry): Expr {
  const base = k.let("tuple", mul(t, g.width));
  return range(g.width).reduce<Expr>(
    (sum, i) => add(sum, mul(loadIndex(k, indices, add(base, i), g.sizes[i]!), g.steps[i]!)),
    { kind: "const", type: "i32", value: 0 },
  );
}

export const gatherNd = defineOp<GatherNdAttrs>({
  name: "gather_nd",
  quant: "same",
  infer(ins, { batchDims }) {
    expectInputs(ins, 2);
    const [x, indices] = [ins[0]!, ins[1]!];
    expectDType(indices, INDEX_DTYPES, "the index tensor");
    const { width } = tupleGeometry(x.shape, indices.shape, batchDims);
    const shape = [...indices.shape.slice(0, -1), ...x.shape.slice(batchDims + width)];
    return [tensorType(x.dtype, shape)];
  },
  axes([x, indices], { batchDims }) {
    const width = indices!.shape.at(-1)!;
    const data = axisLabels("x", x!.shape.length);
    const tuple = indices!.shape.map((_, i) => (i < batchDims ? `x${i}` : `i${i}`));
    return axesText([data, tuple], [[...tuple.slice(0, -1), ...data.slice(batchDims + width)]]);
  },
  eval([x, indices], { batchDims }, [type]) {
    const out = zeros(type!);
    const move = mover(out, x!);
    const g = tupleGeometry(x!.type.shape, indices!.type.shape, batchDims);
    const offset = tupleReader(indices!, g);
    for (let t = 0; t < g.batch * g.tuples; t++) {
      const from = Math.floor(t / g.tuples) * g.perBatch + offset(t);
      for (let e = 0; e < g.slice; e++) move(t * g.slice + e, from + e);
    }
    return [out];
  },
  lower(types, { batchDims }, outTypes) {
    const { k, ins, outs } = movementKernel("gather_nd", types, outTypes);
    const g = tupleGeometry(types[0]!.shape, types[1]!.shape, batchDims);
    k.forParallel("b", 0, g.batch, (b) =>
      k.forParallel("i", 0, g.tuples, (i) => {
        const t = k.let("t", add(mul(b, g.tuples), i));
        const from = k.let("from", add(mul(b, g.perBatch), loadTuple(k, ins[1]!, t, g)));
        emitRun(k, outs[0]!, k.let("to", mul(t, g.slice)), ins[0]!, from, g.slice);
      }),
    );
    return k.build();
  },
  samples: [
    {
      ins: [tensorType("f32", [2, 3, 4]), indexType([2, 2])],
      attrs: { batchDims: 0 },
      values: { 1: [0, 1, -1, 2] },
    },
    {
      ins: [tensorType("i8", [2, 3, 4]), indexType([2, 1, 1])],
      attrs: { batchDims: 1 },
      values: { 1: [2, -3] },
    },
    {
      ins: [tensorType("f16", [2, 2]), indexType([3, 2], "i32")],
      attrs: { batchDims: 0 },
      values: { 1: [0, 0, 1, 1, -2, -1] },
    },
  ],
});
