/**
 * @file Batch normalisation with the statistics of the batch, as in training (Ioffe & Szegedy, arXiv:1502.03167), and
 * its gradient. Statistics are over everything but the channels; the variance is the biased one.
 */
import { defineOp, type Sample } from "../../graph/op.ts";
import {
  add,
  affine,
  constant,
  div,
  fma,
  KernelBuilder,
  mul,
  sub,
  unary,
} from "../../kernel/build.ts";
import type { Expr, Kernel } from "../../kernel/ir.ts";
import {
  numberWriter,
  sameShape,
  type Tensor,
  type TensorType,
  tensorType,
  zeros,
} from "../../tensor/tensor.ts";
import { UserError } from "../../util/errors.ts";
import {
  checkCount,
  checkFloat,
  checkSameDType,
  checkShape,
  declarePorts,
  numbersOf,
  realTypeOf,
} from "./access.ts";
import { f32t, typed } from "./samples.ts";
import {
  type ChannelSplit,
  channelAxis,
  channelSplit,
  type Layout,
  permuteLayout,
} from "./spatial.ts";

export interface BatchNormTrainingAttrs {
  readonly layout: Layout;
  readonly epsilon: number;
}

function check(ins: readonly TensorType[], layout: Layout, names: readonly string[]): TensorType[] {
  checkFloat(...ins);
  checkSameDType(...ins);
  const x = ins[0]!;
  if (x.shape.length < 2) {
    throw new UserError("E_SHAPE", `expected an input of rank >= 2, got shape [${x.shape}]`);
  }
  const channels = [x.shape[channelAxis(layout, x.shape.length)]!];
  for (const [i, name] of names.entries()) checkShape(name, ins[i + 1]!, channels);
  return [
    tensorType(x.dtype, x.shape),
    tensorType(x.dtype, channels),
    tensorType(x.dtype, channels),
  ];
}

/** Calls `visit` with the channel and the flat index of every element. */
function forEachElement(s: ChannelSplit, visit: (c: number, at: number) => void): void {
  for (let o = 0; o < s.outer; o++) {
    for (let c = 0; c < s.channels; c++) {
      for (let i = 0; i < s.inner; i++) visit(c, (o * s.channels + c) * s.inner + i);
    }
  }
}

function evalTraining(
  ins: readonly Tensor[],
  { layout, epsilon }: BatchNormTrainingAttrs,
  outs: readonly TensorType[],
): readonly Tensor[] {
  const [x, gamma, beta] = ins.map(numbersOf) as [
    ArrayLike<number>,
    ArrayLike<number>,
    ArrayLike<number>,
  ];
  const s = channelSplit(layout, ins[0]!.type.shape);
  const mean = new Float64Array(s.channels);
  const variance = new Float64Array(s.channels);
  forEachElement(s, (c, at) => {
    mean[c] = mean[c]! + x[at]! / s.count;
  });
  forEachElement(s, (c, at) => {
    variance[c] = variance[c]! + (x[at]! - mean[c]!) ** 2 / s.count;
  });
  const results = outs.map(zeros) as [Tensor, Tensor, Tensor];
  const [y, m, v] = results.map(numberWriter) as [
    (i: number, x: number) => void,
    (i: number, x: number) => void,
    (i: number, x: number) => void,
  ];
  forEachElement(s, (c, at) => {
    y(at, ((x[at]! - mean[c]!) / Math.sqrt(variance[c]! + epsilon)) * gamma[c]! + beta[c]!);
  });
  for (let c = 0; c < s.channels; c++) {
    m(c, mean[c]!);
    v(c, variance[c]!);
  }
  return results;
}

/** Loops over the elements of a channel. */
function overChannel(k: KernelBuilder, s: ChannelSplit, c: Expr, body: (at: Expr) => void): void {
  k.for("o", 0, s.outer, (o) => {
    const base = k.let("base", affine([o, s.channels * s.inner], [c, s.inner]));
    k.for("i", 0, s.inner, (i) => body(k.let("at", add(base, i))));
  });
}

function lowerTraining(
  ins: readonly TensorType[],
  { layout, epsilon }: BatchNormTrainingAttrs,
  outs: readonly TensorType[],
): Kernel {
  const k = new KernelBuilder("batch_norm_training");
  const real = realTypeOf(outs[0]!.dtype);
  const ports = declarePorts(k, ins, outs, real);
  const [x, gamma, beta] = ports.ins;
  const [y, mean, variance] = ports.outs;
  const s = channelSplit(layout, ins[0]!.shape);
  k.forParallel("c", 0, s.channels, (c) => {
    const sum = k.reg("sum", constant(real, 0));
    overChannel(k, s, c, (at) => k.set(sum, add(sum, x!.read(at))));
    const centre = k.let("mean", mul(sum, constant(real, 1 / s.count)));
    const squares = k.reg("squares", constant(real, 0));
    overChannel(k, s, c, (at) => {
      const d = k.let("d", sub(x!.read(at), centre));
      k.set(squares, fma(d, d, squares));
    });
    const spread = k.let("variance", mul(squares, constant(real, 1 / s.count)));
    const root = unary("sqrt", add(spread, constant(real, epsilon)));
    const scale = k.let("scale", div(gamma!.read(c), root));
    const shift = k.let("shift", beta!.read(c));
    overChannel(k, s, c, (at) => {
      y!.write(at, k.let("y", add(mul(sub(x!.read(at), centre), scale), shift)));
    });
    mean!.write(c, centre);
    variance!.write(c, spread);
  });
  return k.build();
}

const permute = (
  attrs: BatchNormTrainingAttrs,
  perm: readonly number[],
): BatchNormTrainingAttrs | null => {
  const to = permuteLayout(attrs.layout, perm);
  return to === null ? null : { ...attrs, layout: to.layout };
};

const EPSILON = 1e-5;

export const batchNormTraining = defineOp<BatchNormTrainingAttrs>({
  name: "batch_norm_training",
  parameters: [1, 2],
  quant: "none",
  infer: (ins, { layout }) => {
    checkCount(ins, 3, 3);
    return check(ins, layout, ["gamma", "beta"]);
  },
  eval: evalTraining,
  lower: lowerTraining,
  permute,
  samples: [
    { ins: [f32t(2, 3, 4, 5), f32t(3), f32t(3)], attrs: { layout: "nchw", epsilon: EPSILON } },
    { ins: [f32t(3, 4, 5, 6), f32t(6), f32t(6)], attrs: { layout: "nhwc", epsilon: EPSILON } },
    {
      ins: [typed("f64", 4, 7), typed("f64", 7), typed("f64", 7)],
      attrs: { layout: "nchw", epsilon: 1e-3 },
    },
  ],
});

function evalBackward(
  ins: readonly Tensor[],
  { layout, epsilon }: BatchNormTrainingAttrs,
  outs: readonly TensorType[],
): readonly Tensor[] {
  const [x, gamma, mean, variance, dy] = ins.map(numbersOf) as [
    ArrayLike<number>,
    ArrayLike<number>,
    ArrayLike<number>,
    ArrayLike<number>,
    ArrayLike<number>,
  ];
  const s = channelSplit(layout, ins[0]!.type.shape);
  const root = Array.from({ length: s.channels }, (_, c) => Math.sqrt(variance[c]! + epsilon));
  const normal = (c: number, at: number): number => (x[at]! - mean[c]!) / root[c]!;
  const dgamma = new Float64Array(s.channels);
  const dbeta = new Float64Array(s.channels);
  forEachElement(s, (c, at) => {
    dgamma[c] = dgamma[c]! + dy[at]! * normal(c, at);
    dbeta[c] = dbeta[c]! + dy[at]!;
  });
  const results = outs.map(zeros);
  const [dx, dg, db] = results.map(numberWriter);
  forEachElement(s, (c, at) => {
    const centred = dy[at]! - (dbeta[c]! + normal(c, at) * dgamma[c]!) / s.count;
    dx!(at, (gamma[c]! / root[c]!) * centred);
  });
  for (let c = 0; c < s.channels; c++) {
    dg!(c, dgamma[c]!);
    db!(c, dbeta[c]!);
  }
  return results;
}

function lowerBackward(
  ins: readonly TensorType[],
  { layout, epsilon }: BatchNormTrainingAttrs,
  outs: readonly TensorType[],
): Kernel {
  const k = new KernelBuilder("batch_norm_training_backward");
  const real = realTypeOf(outs[0]!.dtype);
  const ports = declarePorts(k, ins, outs, real);
  const [x, gamma, mean, variance, dy] = ports.ins;
  const [dx, dgamma, dbeta] = ports.outs;
  const s = channelSplit(layout, ins[0]!.shape);
  k.forParallel("c", 0, s.channels, (c) => {
    const centre = k.let("mean", mean!.read(c));
    const root = unary("sqrt", add(variance!.read(c), constant(real, epsilon)));
    const scale = k.let("scale", div(constant(real, 1), root));
    const normal = (at: Expr): Expr => mul(sub(x!.read(at), centre), scale);
    const forGamma = k.reg("dgamma", constant(real, 0));
    const forBeta = k.reg("dbeta", constant(real, 0));
    overChannel(k, s, c, (at) => {
      const ct = k.let("ct", dy!.read(at));
      k.set(forGamma, fma(ct, normal(at), forGamma));
      k.set(forBeta, add(forBeta, ct));
    });
    const share = constant(real, 1 / s.count);
    const all = k.let("all", mul(forBeta, share));
    const slope = k.let("slope", mul(forGamma, share));
    const factor = k.let("factor", mul(gamma!.read(c), scale));
    overChannel(k, s, c, (at) => {
      const centred = sub(sub(dy!.read(at), all), mul(normal(at), slope));
      dx!.write(at, k.let("dx", mul(factor, centred)));
    });
    dgamma!.write(c, forGamma);
    dbeta!.write(c, forBeta);
  });
  return k.build();
}

const positive = (n: number): number[] => Array.from({ length: n }, (_, i) => 0.3 + 0.4 * i);
const backwardSample = (
  dtype: "f32" | "f64",
  shape: readonly number[],
  layout: Layout,
): Sample<BatchNormTrainingAttrs> => {
  const n = shape[channelAxis(layout, shape.length)]!;
  const channel = (): TensorType => typed(dtype, n);
  const x = typed(dtype, ...shape);
  return {
    ins: [x, channel(), channel(), channel(), x],
    attrs: { layout, epsilon: EPSILON },
    values: { 3: positive(n) },
  };
};

export const batchNormTrainingBackward = defineOp<BatchNormTrainingAttrs>({
  name: "batch_norm_training_backward",
  quant: "none",
  infer: (ins, { layout }) => {
    checkCount(ins, 5, 5);
    const types = check(ins, layout, ["gamma", "mean", "variance"]);
    if (!sameShape(ins[4]!.shape, ins[0]!.shape)) {
      throw new UserError("E_SHAPE", `cotangent [${ins[4]!.shape}] is not [${ins[0]!.shape}]`);
    }
    return types;
  },
  eval: evalBackward,
  lower: lowerBackward,
  permute,
  samples: [
    backwardSample("f32", [2, 3, 4, 5], "nchw"),
    backwardSample("f32", [3, 4, 5, 6], "nhwc"),
    backwardSample("f64", [4, 7], "nchw"),
  ],
});
