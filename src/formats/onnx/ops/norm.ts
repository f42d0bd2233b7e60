/** @file ONNX normalisations, and Dropout as inference sees it. */
import type { Value } from "../../../graph/graph.ts";
import { elementCount } from "../../../tensor/tensor.ts";
import { type Importer, type ImportTable, type OpContext, unsupported } from "../context.ts";
import { core } from "../core.ts";
import { num } from "../emit.ts";

const after = (rank: number, first: number): number[] =>
  Array.from({ length: rank - first }, (_, i) => first + i);

/** A vector over axis 1, shaped to broadcast against the operand. */
const perChannel = (c: OpContext, v: Value, rank: number): Value =>
  c.e.reshape(v, [c.e.shape(v)[0]!, ...new Array<number>(rank - 2).fill(1)]);

const batchNorm: Importer = (c) => {
  if (c.attrs.flag("training_mode", false)) return trainingBatchNorm(c);
  if (c.wants(1) && c.opset >= 14) throw unsupported("BatchNormalization with statistics");
  const ins = [0, 1, 2, 3, 4].map((i) => c.in(i));
  const epsilon = c.attrs.float("epsilon", 1e-5);
  const type = c.e.dtype(ins[0]!);
  const same = ins.map((v) => c.e.cast(v, type));
  return c.e.apply(core.batch_norm, same, { layout: "nchw", epsilon });
};

/** Statistics of the batch, and the running ones updated by `momentum`. */
function trainingBatchNorm(c: OpContext): readonly Value[] {
  const { e } = c;
  const x = c.in(0);
  const rank = e.rank(x);
  const axes = [0, ...after(rank, 2)];
  const mean = e.mean(x, axes, true);
  const centred = e.sub(x, mean);
  const variance = e.mean(e.mul(centred, centred), axes, true);
  const flat = (v: Value): Value => e.reshape(v, [e.shape(x)[1]!]);
  const epsilon = c.attrs.float("epsilon", 1e-5);
  const normal = e.apply(core.batch_norm, [x, c.in(1), c.in(2), flat(mean), flat(variance)], {
    layout: "nchw",
    epsilon,
  });
  const momentum = c.attrs.float("momentum", 0.9);
  const running = (old: Value, now: Value): Value =>
    e.add(e.mul(old, num(momentum)), e.mul(flat(now), num(1 - momentum)));
  return [normal, running(c.in(3), mean), running(c.in(4), variance)];
}

/** Mean, 1/sqrt(variance + epsilon) and the normalised operand over some axes. */
function standardised(
  c: OpContext,
  x: Value,
  axes: readonly number[],
  epsilon: number,
): { mean: Value; inverse: Value; y: Value } {
  const { e } = c;
  const mean = e.mean(x, axes, true);
  const centred = e.sub(x, mean);
  const variance = e.mean(e.mul(centred, centred), axes, true);
  const inverse = e.unary(core.reciprocal, e.unary(core.sqrt, e.add(variance, num(epsilon))));
  return { mean, inverse, y: e.mul(centred, inverse) };
}

const layerNorm: Importer = (c) => {
  const { e } = c;
  const x = c.in(0);
  const axis = c.axis(c.attrs.int("axis", -1), e.rank(x));
  const epsilon = c.attrs.float("epsilon", 1e-5);
  const gamma = c.in(1);
  const beta = c.optional(2);
  const normalised = e.shape(x).slice(axis);
  const fits = [gamma, beta].every((v) => v === undefined || `${e.shape(v)}` === `${normalised}`);
  if (!c.wants(1) && !c.wants(2) && fits) {
    const ins = beta === undefined ? [x, gamma] : [x, gamma, beta];
    return e.apply(core.layer_norm, ins, { axis, epsilon });
  }
  const { mean, inverse, y } = standardised(c, e.asReal(x), after(e.rank(x), axis), epsilon);
  const scaled = e.mul(e.cast(y, e.dtype(x)), gamma);
  return [beta === undefined ? scaled : e.add(scaled, beta), mean, inverse];
};

const rmsNorm: Importer = (c) => {
  const { e } = c;
  const x = c.in(0);
  const axis = c.axis(c.attrs.int("axis", -1), e.rank(x));
  const epsilon = c.attrs.float("epsilon", 1e-5);
  const gamma = c.in(1);
  if (`${e.shape(gamma)}` === `${e.shape(x).slice(axis)}` && e.dtype(gamma) === e.dtype(x)) {
    return e.apply(core.rms_norm, [x, gamma], { axis, epsilon });
  }
  const real = e.asReal(x);
  const square = e.mean(e.mul(real, real), after(e.rank(x), axis), true);
  const y = e.div(real, e.unary(core.sqrt, e.add(square, num(epsilon))));
  return e.mul(e.cast(y, e.dtype(gamma)), gamma);
};

const instanceNorm: Importer = (c) =>
  c.e.apply(core.instance_norm, [c.in(0), c.in(1), c.in(2)], {
    layout: "nchw",
    epsilon: c.attrs.float("epsilon", 1e-5),
  });

/** Scale and bias are per group before opset 21, per channel since. */
const groupNorm: Importer = (c) => {
  const { e } = c;
  const x = c.in(0);
  const dims = e.shape(x);
  const groups = c.attrs.int("num_groups", 1);
  const epsilon = c.attrs.float("epsilon", 1e-5);
  const channels = dims[1]!;
  const grouped = e.reshape(x, [
    dims[0]!,
    groups,
    (channels / groups) * elementCount(dims.slice(2)),
  ]);
  const { y } = standardised(c, grouped, [2], epsilon);
  if (e.shape(c.in(1))[0] === groups && groups !== channels) {
    const scaled = e.mul(y, e.reshape(c.in(1), [groups, 1]));
    return e.reshape(e.add(scaled, e.reshape(c.in(2), [groups, 1])), dims);
  }
  const scaled = e.mul(e.reshape(y, dims), perChannel(c, c.in(1), dims.length));
  return e.add(scaled, perChannel(c, c.in(2), dims.length));
};

const lrn: Importer = (c) =>
  c.e.apply(core.lrn, [c.in(0)], {
    layout: "nchw",
    size: c.attrs.int("size", 1),
    alpha: c.attrs.float("alpha", 0.0001),
    beta: c.attrs.float("beta", 0.75),
    bias: c.attrs.float("bias", 1),
  });

const meanVariance: Importer = (c) => {
  const { e } = c;
  const x = c.in(0);
  const axes = c.axes(c.attrs.ints("axes") ?? [0, 2, 3], e.rank(x));
  const mean = e.mean(x, axes, true);
  const centred = e.sub(x, mean);
  const deviation = e.unary(core.sqrt, e.mean(e.mul(centred, centred), axes, true));
  return e.div(centred, e.add(deviation, num(1e-9)));
};

/** The operand divided by its norm along an axis; zero where the norm is zero. */
const lpNorm: Importer = (c) => {
  const { e } = c;
  const x = c.in(0);
  const axis = c.axis(c.attrs.int("axis", -1), e.rank(x));
  const op = c.attrs.int("p", 2) === 1 ? core.reduce_l1 : core.reduce_l2;
  const norm = e.reduce(op, x, [axis], true);
  return e.div(x, e.where(e.equal(norm, num(0)), num(1), norm));
};

/** Identity in inference; the mask then says that everything was kept. */
const dropout: Importer = (c) => {
  const x = c.moving(0);
  const training = c.opset >= 12 && c.number(2, 0) !== 0;
  const ratio = c.opset >= 12 ? c.number(1, 0.5) : 0;
  if (training && ratio !== 0) throw unsupported("Dropout in training mode is random");
  if (!c.wants(1)) return x;
  return [x, c.e.expand(c.e.scalar(c.opset < 10 ? c.e.dtype(x) : "bool", 1), c.e.shape(x))];
};

export const normImports: ImportTable = {
  BatchNormalization: batchNorm,
  LayerNormalization: layerNorm,
  RMSNormalization: rmsNorm,
  InstanceNormalization: instanceNorm,
  GroupNormalization: groupNorm,
  LRN: lrn,
  MeanVarianceNormalization: meanVariance,
  LpNormalization: lpNorm,
  Dropout: dropout,
};
