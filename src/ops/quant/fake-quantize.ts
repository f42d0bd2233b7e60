/**
 * @file Fake quantisation: reals moved to the nearest one that an integer stands for, with the same results as
 * quantise and dequantise. Trained straight through (Bengio et al., arXiv:1308.3432): the derivative is 1 where the
 * integer lies in the range, 0 where it was clamped. Scale and zero point get no gradient.
 */
import { defineOp, type Op, type Sample } from "../../graph/op.ts";
import { and, binary, constant, select } from "../../kernel/build.ts";
import type { Expr } from "../../kernel/ir.ts";
import {
  numberWriter,
  type Tensor,
  type TensorType,
  tensorType,
  zeros,
} from "../../tensor/tensor.ts";
import { roundHalfEven } from "../../util/math.ts";
import { broadcastAxes, sharable } from "../elementwise/factory.ts";
import { elementwiseKernel } from "../elementwise/nest.ts";
import { roundOf } from "../elementwise/unary-op.ts";
import {
  expectGrid,
  type GridAttrs,
  gridExpr,
  nearestStep,
  roundExpr,
  spread,
  stepsExpr,
  stepsOf,
} from "./grid.ts";

const I8 = { min: -128, max: 127 };
const I4 = { min: -7, max: 7 };

/** Samples of the forward operators and, with a cotangent, of the backward ones. */
export function gridSamples(extra: number): Sample<GridAttrs>[] {
  const of = (
    dtype: "f32" | "f64",
    shape: readonly number[],
    attrs: GridAttrs,
    scale: readonly number[],
    zero: readonly number[],
  ): Sample<GridAttrs> => {
    const x = tensorType(dtype, shape);
    const per = tensorType(dtype, attrs.axis === null ? [] : [shape[attrs.axis]!]);
    const cotangents = new Array<TensorType>(extra).fill(x);
    return { ins: [x, per, per, ...cotangents], attrs, values: { 1: scale, 2: zero } };
  };
  const scales = (n: number): number[] => Array.from({ length: n }, (_, i) => 0.1 + 0.07 * i);
  return [
    of("f32", [2, 3, 7], { ...I8, axis: null }, [0.0125], [-5]),
    of("f32", [5, 3, 3], { ...I4, axis: 0 }, scales(5), [0, 0, 0, 0, 0]),
    of("f32", [4, 2, 6], { min: 0, max: 3, axis: null }, [0.4], [1]),
    of("f64", [3, 5], { min: -2, max: 1, axis: null }, [0.7], [0]),
  ];
}

/** What the forward operators have in common; `own`: the attributes of a sample. */
export const gridOp = <A extends GridAttrs>(
  name: string,
  parameters: readonly number[],
  own: (attrs: GridAttrs) => A,
): Op<A> =>
  defineOp<A>({
    name,
    parameters,
    quant: "none",
    infer: (ins, attrs) => [expectGrid(ins, attrs, 3)],
    axes: (ins, { axis }) => (axis === null ? broadcastAxes(ins, ins[0]!.shape) : null),
    eval(ins, attrs, outs) {
      const y = zeros(outs[0]!);
      const write = numberWriter(y);
      const steps = stepsOf(ins, attrs.axis);
      const r = roundOf(y.type.dtype);
      for (let i = 0; i < y.data.length; i++) {
        const s = steps(i);
        write(i, r(nearestStep(s, attrs) * s.scale));
      }
      return [y];
    },
    lower: (ins, attrs, outs) =>
      elementwiseKernel({
        name,
        ins: spread(ins, attrs.axis),
        out: outs[0]!,
        compute: ([x, scale, zero]) => gridExpr(x!, scale!, zero!, attrs),
        vector: true,
      }),
    permute: (attrs, perm, ins) => permuteGrid(attrs, perm, ins[0]!),
    inPlace: (ins, _, outs) => sharable([ins[0]!], outs[0]!),
    samples: [
      ...gridSamples(0).map((s) => ({ ...s, attrs: own(s.attrs), tolerance: 0 })),
      {
        ins: [tensorType("f32", [4, 3]), tensorType("f32", [3]), tensorType("f32", [3])],
        attrs: own({ min: 0, max: 15, axis: 1 }),
        values: { 1: [0.1, 0.2, 0.3], 2: [8, 7, 0] },
        tolerance: 0,
      },
    ],
  });

/** The attributes after a permutation of the value's axes. */
export const permuteGrid = <A extends GridAttrs>(
  attrs: A,
  perm: readonly number[],
  x: TensorType,
): A | null =>
  perm.length !== x.shape.length
    ? null
    : { ...attrs, axis: attrs.axis === null ? null : perm.indexOf(attrs.axis) };

/** (clamp(rne(x / scale) + zero, min, max) - zero) * scale. Inputs: x, scale, zero point. */
export const fakeQuantize = gridOp("fake_quantize", [0], (attrs) => attrs);

function evalBackward(
  ins: readonly Tensor[],
  attrs: GridAttrs,
  outs: readonly TensorType[],
): readonly Tensor[] {
  const dx = zeros(outs[0]!);
  const steps = stepsOf(ins, attrs.axis);
  const ct = ins[3]!.data as Float64Array;
  for (let i = 0; i < dx.data.length; i++) {
    const { u, zero } = steps(i);
    const q = roundHalfEven(u) + zero;
    dx.data[i] = q >= attrs.min && q <= attrs.max ? ct[i]! : 0;
  }
  return [dx];
}

const inside = (q: Expr, { min, max }: GridAttrs): Expr =>
  and(binary("ge", q, constant(q.type, min)), binary("le", q, constant(q.type, max)));

/** The cotangent of x. Inputs: x, scale, zero point, the cotangent of the result. */
export const fakeQuantizeBackward = defineOp<GridAttrs>({
  name: "fake_quantize_backward",
  quant: "none",
  infer: (ins, attrs) => [expectGrid(ins, attrs, 4)],
  axes: (ins, { axis }) => (axis === null ? broadcastAxes(ins, ins[0]!.shape) : null),
  eval: evalBackward,
  lower: (ins, attrs, outs) =>
    elementwiseKernel({
      name: "fake_quantize_backward",
      ins: spread(ins, attrs.axis),
      out: outs[0]!,
      compute: ([x, scale, zero, ct], b) => {
        const q = b.let("q", roundExpr(stepsExpr(x!, scale!), zero!));
        return select(inside(q, attrs), ct!, constant(ct!.type, 0));
      },
      vector: true,
    }),
  permute: (attrs, perm, ins) => permuteGrid(attrs, perm, ins[0]!),
  inPlace: (ins, _, outs) => (ins[3]!.dtype === outs[0]!.dtype ? 3 : null),
  samples: gridSamples(1).map((s) => ({ ...s, tolerance: 0 })),
});
