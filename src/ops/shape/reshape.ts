/** @file reshape: the same elements in row-major order under another shape. */

import { defineOp } from "../../graph/op.ts";
import { resultPort } from "../../graph/ties.ts";
import { elementCount, type Shape, tensorType, withType } from "../../tensor/tensor.ts";
import { axesText, expectInputs, expectPerAxis, refuse } from "./check.ts";
import { reshapeTies } from "./reshape-ties.ts";
import { emitRun, movementKernel } from "./strided.ts";

export interface ReshapeAttrs {
  /** The full shape: no -1, no 0 for "as before". */
  readonly shape: readonly number[];
}

/** Labels of the result's axes: those of input axes that keep their place and extent. */
function resultLabels(from: Shape, to: Shape): string[] {
  const starts = new Map<string, number>();
  let before = 1;
  from.forEach((n, i) => {
    if (n !== 1) starts.set(`${before},${n}`, i);
    before *= n;
  });
  let at = 1;
  return to.map((n, i) => {
    const axis = n === 1 ? undefined : starts.get(`${at},${n}`);
    at *= n;
    return axis === undefined ? `y${i}` : `x${axis}`;
  });
}

export const reshape = defineOp<ReshapeAttrs>({
  name: "reshape",
  quant: "same",
  view: true,
  infer(ins, { shape }) {
    expectInputs(ins, 1);
    const [x] = ins;
    expectPerAxis(shape, shape.length, "shape");
    const have = elementCount(x!.shape);
    if (shape.some((n) => n < 0) || elementCount(shape) !== have) {
      refuse("E_SHAPE", `cannot reshape [${x!.shape}] (${have} elements) to [${shape}]`);
    }
    return [tensorType(x!.dtype, shape)];
  },
  axes([x], { shape }) {
    const labels = x!.shape.map((_, i) => `x${i}`);
    return elementCount(shape) === 0 ? null : axesText([labels], [resultLabels(x!.shape, shape)]);
  },
  ties: ([x], { shape }) => reshapeTies(x!.shape, shape),
  narrow: ({ shape }, { kept }) => ({
    attrs: { shape: shape.map((_, i) => kept(resultPort(0), i).length) },
  }),
  eval: ([x], _attrs, [out]) => [withType(x!, out!)],
  lower(types, _attrs, outTypes) {
    const { k, ins, outs } = movementKernel("reshape", types, outTypes);
    emitRun(k, outs[0]!, 0, ins[0]!, 0, outs[0]!.size);
    return k.build();
  },
  inPlace: () => 0,
  samples: [
    { ins: [tensorType("f32", [2, 3, 4])], attrs: { shape: [2, 12] } },
    { ins: [tensorType("i64", [1, 5, 1])], attrs: { shape: [5] } },
    { ins: [tensorType("bf16", [3, 7])], attrs: { shape: [7, 1, 3] } },
    { ins: [tensorType("bool", [1])], attrs: { shape: [] } },
    { ins: [tensorType("f32", [0, 3])], attrs: { shape: [3, 0, 2] } },
  ],
});
