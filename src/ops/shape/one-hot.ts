/** @file one_hot: a new axis on which the element chosen by the index is "on" and the others "off". */
import { defineOp } from "../../graph/op.ts";
import { add, affine, binary, i32, mul, select } from "../../kernel/build.ts";
import { elementCount, sameShape, tensorType, zeros } from "../../tensor/tensor.ts";
import {
  axesText,
  axisLabels,
  expectAxis,
  expectDType,
  expectInputs,
  INDEX_DTYPES,
  mover,
  refuse,
} from "./check.ts";
import { indexType, loadI32 } from "./indices.ts";
import { emitStrided, movementKernel } from "./strided.ts";

export interface OneHotAttrs {
  /** Position of the new axis in the result. */
  readonly axis: number;
  /** Its extent. An index outside -depth..depth-1 gives no "on". */
  readonly depth: number;
}

/** Extents before and after the new axis. */
function sides(shape: readonly number[], axis: number): { outer: number; inner: number } {
  return {
    outer: elementCount(shape.slice(0, axis)),
    inner: elementCount(shape.slice(axis)),
  };
}

export const oneHot = defineOp<OneHotAttrs>({
  name: "one_hot",
  quant: "none",
  infer(ins, { axis, depth }) {
    expectInputs(ins, 2);
    const [indices, values] = [ins[0]!, ins[1]!];
    expectAxis(axis, indices.shape.length + 1);
    expectDType(indices, INDEX_DTYPES, "the index tensor");
    if (!sameShape(values.shape, [2])) {
      refuse("E_SHAPE", `values are [${values.shape}], expected [2]: off and on`);
    }
    if (!Number.isInteger(depth) || depth < 1)
      refuse("E_SHAPE", `depth is ${depth}, expected 1 or more`);
    return [tensorType(values.dtype, indices.shape.toSpliced(axis, 0, depth))];
  },
  axes([indices], { axis }) {
    const labels = axisLabels("i", indices!.shape.length);
    return axesText([labels, ["values"]], [labels.toSpliced(axis, 0, "depth")]);
  },
  eval([indices, values], { axis, depth }, [type]) {
    const out = zeros(type!);
    const move = mover(out, values!);
    const { outer, inner } = sides(indices!.type.shape, axis);
    for (let i = 0; i < out.data.length; i++) move(i, 0);
    for (let o = 0; o < outer; o++) {
      for (let i = 0; i < inner; i++) {
        const raw = Number(indices!.data[o * inner + i]);
        const index = raw < 0 ? raw + depth : raw;
        if (index >= 0 && index < depth) move((o * depth + index) * inner + i, 1);
      }
    }
    return [out];
  },
  lower(types, { axis, depth }, outTypes) {
    const { k, ins, outs } = movementKernel("one_hot", types, outTypes);
    const [indices, values] = [ins[0]!, ins[1]!];
    const out = outs[0]!;
    const { outer, inner } = sides(types[0]!.shape, axis);
    emitStrided(k, out, 0, values, 0, [{ n: out.size, dst: 1, src: 0 }]);
    const on = k.let("on", k.load(values, 1));
    k.for("o", 0, outer, (o) =>
      k.for("i", 0, inner, (i) => {
        const raw = k.let("raw", loadI32(k, indices, affine([o, inner], i)));
        const negative = binary("lt", raw, i32(0));
        const index = k.let("index", select(negative, add(raw, depth), raw));
        k.if(binary("lt_u", index, i32(depth)), () =>
          k.store(out, add(mul(add(mul(o, depth), index), inner), i), on),
        );
      }),
    );
    return k.build();
  },
  samples: [
    {
      ins: [indexType([3]), tensorType("f32", [2])],
      attrs: { axis: 1, depth: 5 },
      values: { 0: [1, -1, 7] },
    },
    {
      ins: [indexType([2, 2], "i32"), tensorType("i8", [2])],
      attrs: { axis: 1, depth: 3 },
      values: { 0: [0, 2, -3, -4] },
    },
    {
      ins: [indexType([2]), tensorType("f16", [2])],
      attrs: { axis: 0, depth: 4 },
      values: { 0: [3, 0] },
    },
  ],
});
