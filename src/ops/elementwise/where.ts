/** @file a where the condition holds, else b; elements are moved, never computed on. */
import { defineOp, type NoAttrs, type Sample } from "../../graph/op.ts";
import { select } from "../../kernel/build.ts";
import { broadcastStrides, forEachIndex, offsetOf } from "../../tensor/shape.ts";
import { type TensorType, tensorType, zeros } from "../../tensor/tensor.ts";
import { rawType } from "../lowering.ts";
import { expectInputs, movedQuant, mover, refuse } from "../shape/check.ts";
import { ALL, broadcastAll, broadcastAxes, expectOperands, permuteSame } from "./factory.ts";
import { elementwiseKernel } from "./nest.ts";

const i8 = (shape: readonly number[]): TensorType =>
  tensorType("i8", shape, { scale: [0.1], zeroPoint: [3], axis: null });

function samples(): Sample<NoAttrs>[] {
  const of = (...ins: TensorType[]): Sample<NoAttrs> => ({ ins, attrs: {}, tolerance: 0 });
  const bool = (...shape: number[]): TensorType => tensorType("bool", shape);
  return [
    ...ALL.map((dtype) => of(bool(2, 9), tensorType(dtype, [2, 9]), tensorType(dtype, [9]))),
    of(bool(3, 1), tensorType("f32", []), tensorType("f32", [2, 1, 5])),
    of(bool(), tensorType("f32", []), tensorType("f32", [])),
    of(bool(33), i8([33]), i8([])),
  ];
}

export const where = defineOp<NoAttrs>({
  name: "where",
  quant: "integer",
  infer(ins) {
    expectInputs(ins, 3);
    const [cond, ...branches] = ins as readonly [TensorType, TensorType, TensorType];
    if (cond.dtype !== "bool") refuse("E_DTYPE", `the condition must be bool, got ${cond.dtype}`);
    const dtype = expectOperands(branches, 2, ALL);
    return [tensorType(dtype, broadcastAll(ins), movedQuant(branches))];
  },
  axes: (ins) => broadcastAxes(ins, broadcastAll(ins)),
  eval(ins, _, outs) {
    const y = zeros(outs[0]!);
    const { shape } = y.type;
    const [c, a, b] = ins.map((t) => broadcastStrides(t.type.shape, shape));
    const fromA = mover(y, ins[1]!);
    const fromB = mover(y, ins[2]!);
    forEachIndex(shape, (index, i) => {
      if (ins[0]!.data[offsetOf(index, c!)] !== 0) fromA(i, offsetOf(index, a!));
      else fromB(i, offsetOf(index, b!));
    });
    return [y];
  },
  lower: (ins, _, outs) =>
    elementwiseKernel({
      name: "where",
      ins: ins.map(rawType),
      out: rawType(outs[0]!),
      compute: ([c, a, b]) => select(c!, a!, b!),
      vector: false,
    }),
  permute: (attrs, _, ins) => permuteSame(attrs, ins),
  samples: samples(),
});
