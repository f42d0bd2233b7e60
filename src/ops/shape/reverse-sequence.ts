/** @file reverse_sequence: turns round the first lengths[b] elements along the time axis of each batch. */
import { defineOp } from "../../graph/op.ts";
import { add, binary, i32, max, min, mul, select, sub } from "../../kernel/build.ts";
import type { Expr } from "../../kernel/ir.ts";
import { forEachIndex, offsetOf, strides } from "../../tensor/shape.ts";
import { elementCount, tensorType, zeros } from "../../tensor/tensor.ts";
import {
  axesText,
  axisLabels,
  expectAxis,
  expectDType,
  expectInputs,
  INDEX_DTYPES,
  mover,
  refuse,
  relabel,
} from "./check.ts";
import { indexType, loadI32 } from "./indices.ts";
import { emitRun, movementKernel } from "./strided.ts";

export interface ReverseSequenceAttrs {
  readonly batchAxis: number;
  readonly timeAxis: number;
}

export const reverseSequence = defineOp<ReverseSequenceAttrs>({
  name: "reverse_sequence",
  quant: "same",
  infer(ins, { batchAxis, timeAxis }) {
    expectInputs(ins, 2);
    const [x, lengths] = [ins[0]!, ins[1]!];
    expectAxis(batchAxis, x.shape.length, "batchAxis");
    expectAxis(timeAxis, x.shape.length, "timeAxis");
    expectDType(lengths, INDEX_DTYPES, "lengths");
    if (batchAxis === timeAxis) refuse("E_SHAPE", "batchAxis and timeAxis are the same");
    if (lengths.shape.length !== 1 || lengths.shape[0] !== x.shape[batchAxis]) {
      refuse("E_SHAPE", `lengths are [${lengths.shape}], expected [${x.shape[batchAxis]}]`);
    }
    return [tensorType(x.dtype, x.shape)];
  },
  axes([x], { batchAxis, timeAxis }) {
    const labels = axisLabels("x", x!.shape.length);
    return axesText([labels, [labels[batchAxis]!]], [relabel(labels, (i) => i === timeAxis)]);
  },
  eval([x, lengths], { batchAxis, timeAxis }, [type]) {
    const out = zeros(type!);
    const move = mover(out, x!);
    const step = strides(type!.shape);
    const time = type!.shape[timeAxis]!;
    forEachIndex(type!.shape, (index, i) => {
      const length = Number(lengths!.data[index[batchAxis]!]);
      if (length < 0 || length > time) {
        refuse("E_DATA", `length ${length} is outside a time axis of ${time}`);
      }
      const t = index[timeAxis]!;
      move(i, offsetOf(index.with(timeAxis, t < length ? length - 1 - t : t), step));
    });
    return [out];
  },
  lower(types, { batchAxis, timeAxis }, outTypes) {
    const { k, ins, outs } = movementKernel("reverse_sequence", types, outTypes);
    const { shape } = types[0]!;
    const step = strides(shape);
    const depth = Math.max(batchAxis, timeAxis) + 1;
    const time = shape[timeAxis]!;
    const inner = elementCount(shape.slice(depth));
    const loops = (axis: number, index: readonly Expr[]): void => {
      if (axis < depth) {
        k.forParallel("i", 0, shape[axis]!, (i) => loops(axis + 1, [...index, i]));
        return;
      }
      const length = max(min(loadI32(k, ins[1]!, index[batchAxis]!), i32(time)), i32(0));
      const turn = k.let("turn", sub(length, 1));
      const t = index[timeAxis]!;
      const source = select(binary("le", t, turn), sub(turn, t), t);
      const flat = (at: readonly Expr[]): Expr =>
        at.reduce<Expr>((sum, e, a) => add(sum, mul(e, step[a]!)), i32(0));
      const from = k.let("from", flat(index.with(timeAxis, source)));
      emitRun(k, outs[0]!, k.let("to", flat(index)), ins[0]!, from, inner);
    };
    loops(0, []);
    return k.build();
  },
  permute: ({ batchAxis, timeAxis }, perm) => ({
    batchAxis: perm.indexOf(batchAxis),
    timeAxis: perm.indexOf(timeAxis),
  }),
  samples: [
    {
      ins: [tensorType("f32", [4, 4]), indexType([4])],
      attrs: { batchAxis: 1, timeAxis: 0 },
      values: { 1: [4, 3, 2, 1] },
    },
    {
      ins: [tensorType("f32", [3, 4, 5]), indexType([3])],
      attrs: { batchAxis: 0, timeAxis: 1 },
      values: { 1: [0, 3, 4] },
    },
    {
      ins: [tensorType("i8", [2, 2, 3, 7]), indexType([2], "i32")],
      attrs: { batchAxis: 1, timeAxis: 2 },
      values: { 1: [3, 2] },
    },
  ],
});
