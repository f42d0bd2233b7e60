/** @file reduce_mean: the mean over axes; of quantised values by integer arithmetic (mean-rule.ts). */
import { type Arith, defineOp } from "../../graph/op.ts";
import { cast, constant, f32, KernelBuilder, mul, sub } from "../../kernel/build.ts";
import type { Expr, Kernel } from "../../kernel/ir.ts";
import { type Tensor, type TensorType, tensorType, zeros } from "../../tensor/tensor.ts";
import { product } from "../../util/math.ts";
import { declare } from "../lowering.ts";
import { expectInputs, refuse } from "../shape/check.ts";
import {
  defineReduce,
  groupsOf,
  permuteReduce,
  type ReduceAttrs,
  reducedShape,
  reduceLabels,
} from "./define.ts";
import { eachLane, forEachGroup } from "./fold.ts";
import { isSpatialMean, meanRule } from "./mean-rule.ts";
import { REDUCERS } from "./reducers.ts";

export interface MeanAttrs extends ReduceAttrs {
  readonly arith?: Arith;
}

const plain = defineReduce("reduce_mean", REDUCERS.mean);

const countOf = (x: TensorType, { axes }: MeanAttrs): number =>
  product(axes.map((a) => x.shape[a]!));

function inferQuantised(x: TensorType, attrs: MeanAttrs): TensorType {
  const { out, arith } = attrs;
  if (x.quant!.axis !== null) refuse("E_DTYPE", "the operand is quantised per channel");
  const small = (dtype: string | undefined): boolean => dtype === "i8" || dtype === "u8";
  if (!small(x.dtype)) refuse("E_DTYPE", `a quantised mean takes i8 or u8, got ${x.dtype}`);
  const shape = reducedShape(x.shape, attrs);
  if (countOf(x, attrs) === 0) refuse("E_SHAPE", `the mean over no elements of [${x.shape}]`);
  if (out === undefined) {
    if (arith === "tflite") refuse("E_MODEL", "a quantised mean needs the type of its result");
    return tensorType("f32", shape);
  }
  if (!small(out.dtype) || out.axis !== null) {
    refuse("E_DTYPE", `the result of a quantised mean is i8 or u8 per tensor, not ${out.dtype}`);
  }
  const { scale, zeroPoint, axis } = out;
  return tensorType(out.dtype, shape, { scale, zeroPoint, axis });
}

/** Without a quantised result type: f32(f32(sum of (q - z)) * f32(scale / n)). */
const realFactor = (x: TensorType, n: number): number => Math.fround(x.quant!.scale[0]! / n);

function evalQuantised(x: Tensor, attrs: MeanAttrs, type: TensorType): Tensor {
  const out = zeros(type);
  const n = countOf(x.type, attrs);
  const { at, within } = groupsOf(x.type.shape, attrs.axes);
  const rule = type.quant && meanRule(x.type, type, attrs, n);
  const zero = rule?.zero ?? x.type.quant!.zeroPoint[0]!;
  at.forEach((base, i) => {
    const sum = within.reduce((a, o) => a + Number(x.data[base + o]) - zero, 0);
    out.data[i] = rule ? rule.js(sum, i) : Math.fround(sum) * realFactor(x.type, n);
  });
  return out;
}

function lowerQuantised(x: TensorType, attrs: MeanAttrs, type: TensorType): Kernel {
  const k = new KernelBuilder("reduce_mean");
  const { ins, outs } = declare(k, [x], [type]);
  const n = countOf(x, attrs);
  const rule = type.quant && meanRule(x, type, attrs, n);
  const zero = rule?.zero ?? x.quant!.zeroPoint[0]!;
  const finish = (sum: Expr, out: Expr): Expr =>
    rule ? rule.expr(sum, out) : mul(cast("f32", "convert_s", sum), f32(realFactor(x, n)));
  forEachGroup(k, x.shape, attrs.axes, true, (group) => {
    const sum = group.fold({
      op: "add",
      elem: "i32",
      identity: 0,
      read: (index, t) => sub(k.load(ins[0]!, index, t), constant(t, zero)),
    });
    eachLane(k, group.out, sum, (at, lane) => {
      const out = k.let("to", at);
      k.store(outs[0]!, out, finish(k.let("sum", lane), out));
    });
  });
  return k.build();
}

const quant = (scale: number, zeroPoint: number) =>
  ({ scale: [Math.fround(scale)], zeroPoint: [zeroPoint], axis: null }) as const;
const image = tensorType("i8", [2, 5, 4, 21], quant(0.05, -7));
const OUT = { dtype: "i8", ...quant(0.031, 4) } as const;

export const reduceMean = defineOp<MeanAttrs>({
  name: "reduce_mean",
  quant: "integer",
  infer(ins, attrs) {
    expectInputs(ins, 1);
    const x = ins[0]!;
    return x.quant === undefined ? plain.infer(ins, attrs) : [inferQuantised(x, attrs)];
  },
  axes: ([x], attrs) => reduceLabels(x!.shape.length, attrs),
  eval(ins, attrs, outs) {
    const x = ins[0]!;
    if (x.type.quant === undefined) return plain.eval!(ins, attrs, outs);
    return [evalQuantised(x, attrs, outs[0]!)];
  },
  lower(ins, attrs, outs) {
    const x = ins[0]!;
    return x.quant === undefined
      ? plain.lower!(ins, attrs, outs)
      : lowerQuantised(x, attrs, outs[0]!);
  },
  permute(attrs, perm) {
    const moved = permuteReduce(attrs, perm);
    if (moved === null || attrs.arith !== "tflite") return moved;
    const rank = perm.length;
    return isSpatialMean(attrs, rank) || isSpatialMean(moved, rank) ? null : moved;
  },
  samples: [
    ...plain.samples.filter(({ ins }) => ins[0]!.quant === undefined),
    { ins: [image], attrs: { axes: [1, 2], keepDims: true, out: OUT, arith: "tflite" } },
    { ins: [image], attrs: { axes: [1, 2], keepDims: false, out: OUT, arith: "tflite" } },
    { ins: [image], attrs: { axes: [1, 2], keepDims: false, out: OUT } },
    { ins: [image], attrs: { axes: [0, 3], keepDims: true } },
    {
      ins: [tensorType("u8", [3, 40], quant(0.02, 100))],
      attrs: { axes: [1], keepDims: false, out: { ...OUT, dtype: "u8" } },
    },
  ],
});
