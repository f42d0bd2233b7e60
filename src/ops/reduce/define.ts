/** @file What the reduction operators have in common: types, evaluation, axis mapping, lowering. */
import { defineOp, type Op, type OutQuant, type Sample } from "../../graph/op.ts";
import { KernelBuilder } from "../../kernel/build.ts";
import { type Expr, elemOf, scalarTypeOf } from "../../kernel/ir.ts";
import { DTYPES, type DType, isBig, isFloat } from "../../tensor/dtype.ts";
import { offsetOf, strides } from "../../tensor/shape.ts";
import {
  numberReader,
  numberWriter,
  type Shape,
  type Tensor,
  type TensorType,
  tensorType,
  zeros,
} from "../../tensor/tensor.ts";
import { product } from "../../util/math.ts";
import { declare, realReader, realWriter } from "../lowering.ts";
import { axesText, axisLabels, expectAxis, expectInputs, range, refuse } from "../shape/check.ts";
import { eachLane, forEachGroup, type Group } from "./fold.ts";
import type { Reducer, Source } from "./reducers.ts";

export interface ReduceAttrs {
  /** Axes reduced, ascending; none: every element is a group of its own. */
  readonly axes: readonly number[];
  /** Keep the reduced axes with extent 1. */
  readonly keepDims: boolean;
  /** Quantised operands: the quantised type of the result; absent: f32. */
  readonly out?: OutQuant;
}

/** The shape after reducing. */
export function reducedShape(shape: Shape, { axes, keepDims }: ReduceAttrs): number[] {
  for (const [i, axis] of axes.entries()) {
    expectAxis(axis, shape.length);
    if (i > 0 && axis <= axes[i - 1]!) refuse("E_SHAPE", `axes [${axes}] are not ascending`);
  }
  const kept = shape.map((n, i) => (axes.includes(i) ? 1 : n));
  return keepDims ? kept : kept.filter((_, i) => !axes.includes(i));
}

/** The axis mapping: reduced letters appear on the input only. */
export function reduceLabels(rank: number, { axes, keepDims }: ReduceAttrs): string {
  const labels = axisLabels("x", rank);
  const out = labels.map((label, i) => (axes.includes(i) ? `one${i}` : label));
  return axesText([labels], [keepDims ? out : labels.filter((_, i) => !axes.includes(i))]);
}

/** The attributes after permuting all axes; only when axes are kept. */
export function permuteReduce<A extends ReduceAttrs>(attrs: A, perm: readonly number[]): A | null {
  if (!attrs.keepDims) return null;
  return { ...attrs, axes: attrs.axes.map((a) => perm.indexOf(a)).sort((a, b) => a - b) };
}

/** Flat indices of the groups' first elements, and of a group's elements relative to its first. */
export function groupsOf(
  shape: Shape,
  axes: readonly number[],
): { at: number[]; within: number[] } {
  const step = strides(shape);
  const offsets = (chosen: (axis: number) => boolean): number[] => {
    let all = [0];
    shape.forEach((n, i) => {
      if (chosen(i)) all = all.flatMap((o) => range(n).map((j) => o + offsetOf([j], [step[i]!])));
    });
    return all;
  };
  return { at: offsets((i) => !axes.includes(i)), within: offsets((i) => axes.includes(i)) };
}

function evalReduce(
  reducer: Reducer,
  x: Tensor,
  axes: readonly number[],
  type: TensorType,
): Tensor {
  const out = zeros(type);
  const { at, within } = groupsOf(x.type.shape, axes);
  if (isFloat(x.type.dtype)) {
    const read = numberReader(x);
    const write = numberWriter(out);
    at.forEach((base, i) => write(i, reducer.real(within.map((o) => read(base + o)))));
    return out;
  }
  const { dtype } = type;
  const bits = DTYPES[dtype].sizeBytes * 8;
  at.forEach((base, i) => {
    const y = reducer.integer!(
      within.map((o) => BigInt(x.data[base + o]!)),
      dtype,
    );
    const wrapped = DTYPES[dtype].kind === "int" ? BigInt.asIntN(bits, y) : BigInt.asUintN(bits, y);
    out.data[i] = isBig(dtype) ? wrapped : Number(wrapped);
  });
  return out;
}

/** Whether reads of this type may ask for four elements at once. */
export const vectorReads = (t: TensorType): boolean =>
  t.quant === undefined && ["f32", "i8", "u8", "i16", "u16", "i32", "u32"].includes(t.dtype);

/** Stores a value or a vector of values for neighbouring results. */
export function storer(
  k: KernelBuilder,
  out: ReturnType<typeof declare>["outs"][number],
  type: TensorType,
): (at: Expr, value: Expr) => void {
  const real = realWriter(k, out, type);
  const plain = type.quant === undefined;
  const whole = type.dtype === "f32" || type.dtype === "i32" || type.dtype === "u32";
  return (at, value) => {
    if (plain && whole) k.store(out, at, value);
    else eachLane(k, at, value, (i, v) => (plain ? k.store(out, i, v) : real(i, v)));
  };
}

function lowerReduce(
  name: string,
  reducer: Reducer,
  types: readonly TensorType[],
  { axes }: ReduceAttrs,
  outTypes: readonly TensorType[],
) {
  const k = new KernelBuilder(name);
  const { ins, outs } = declare(k, types, outTypes);
  const x = types[0]!;
  const dtype: DType = x.quant === undefined ? x.dtype : "f32";
  const real = realReader(k, ins[0]!, x);
  const store = storer(k, outs[0]!, outTypes[0]!);
  const source: Source = {
    k,
    dtype,
    elem: elemOf(scalarTypeOf(dtype)),
    count: product(axes.map((a) => x.shape[a]!)),
    read: (index, type) => (x.quant === undefined ? k.load(ins[0]!, index, type) : real(index)),
  };
  const vector = vectorReads(x) && !(reducer.wide === true && !isFloat(dtype));
  forEachGroup(k, x.shape, axes, vector, (group: Group) =>
    store(group.out, reducer.emit(source, group)),
  );
  return k.build();
}

const f32 = (...shape: number[]): TensorType => tensorType("f32", shape);
const quantised: TensorType = tensorType("i8", [2, 3, 5], {
  scale: [0.05],
  zeroPoint: [-4],
  axis: null,
});
const OUT: OutQuant = { dtype: "i8", scale: [0.25], zeroPoint: [10], axis: null };

/** Samples every reduction has; `positive` keeps logarithms and products tame. */
function samplesOf(reducer: Reducer): Sample<ReduceAttrs>[] {
  const range = [0.5, 1.5] as const;
  const floats: Sample<ReduceAttrs>[] = [
    { ins: [f32(3, 37)], attrs: { axes: [1], keepDims: false }, range },
    { ins: [f32(2, 6, 5, 9)], attrs: { axes: [1, 2], keepDims: true }, range },
    { ins: [f32(2, 3, 4, 20)], attrs: { axes: [1, 3], keepDims: false }, range },
    { ins: [f32(3, 4)], attrs: { axes: [], keepDims: true }, range },
    { ins: [f32(2, 0, 3)], attrs: { axes: [1], keepDims: false } },
    { ins: [f32()], attrs: { axes: [], keepDims: false }, range },
    { ins: [tensorType("f64", [4, 5])], attrs: { axes: [0, 1], keepDims: false }, range },
    { ins: [tensorType("f16", [4, 6])], attrs: { axes: [0], keepDims: false }, range },
    { ins: [tensorType("bf16", [4, 6])], attrs: { axes: [1], keepDims: true }, range },
  ];
  const integers = (["i8", "u8", "i16", "i32", "u32", "i64", "u64"] as const).map(
    (dtype, i): Sample<ReduceAttrs> => ({
      ins: [tensorType(dtype, [3, 7, 5])],
      attrs: { axes: [[1], [2], [0, 2], [0], [1, 2], [1], [0]][i]!, keepDims: i % 2 === 0 },
      range: DTYPES[dtype].kind === "int" ? [-9, 9] : [0, 9],
    }),
  );
  return reducer.integers ? [...floats, ...integers] : floats;
}

/** A reduction operator of class "float". */
export function defineReduce(name: string, reducer: Reducer): Op<ReduceAttrs> {
  return defineOp<ReduceAttrs>({
    name,
    quant: "float",
    infer(ins, attrs) {
      expectInputs(ins, 1);
      const { dtype, shape } = ins[0]!;
      const integer = DTYPES[dtype].kind !== "float";
      if ((integer && !reducer.integers) || (dtype === "bool" && reducer.bool !== true)) {
        refuse("E_DTYPE", `${dtype} elements cannot be reduced this way`, "cast to f32 first");
      }
      return [tensorType(dtype, reducedShape(shape, attrs))];
    },
    axes: ([x], attrs) => reduceLabels(x!.shape.length, attrs),
    eval: ([x], { axes }, [type]) => [evalReduce(reducer, x!, axes, type!)],
    lower: (ins, attrs, outs) => lowerReduce(name, reducer, ins, attrs, outs),
    permute: permuteReduce,
    samples: [
      ...samplesOf(reducer),
      { ins: [quantised], attrs: { axes: [1], keepDims: false, out: OUT }, tolerance: 0.25 },
      { ins: [quantised], attrs: { axes: [0, 2], keepDims: true } },
    ],
  });
}
