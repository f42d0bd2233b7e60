/** @file Derivatives of normalisations, through their definitions. */
import type { Value } from "../../graph/graph.ts";
import { elementwiseOps as e } from "../../ops/elementwise/index.ts";
import { nnOps as n } from "../../ops/nn/index.ts";
import { channelAxis, spatialOf } from "../../ops/nn/spatial.ts";
import { reduceMean } from "../../ops/reduce/index.ts";
import { shapeOps } from "../../ops/shape/index.ts";
import { Calc, num } from "../calc.ts";
import { defineSingle, defineVjp, type VjpRule } from "../rule.ts";

type Layout = "nchw" | "nhwc";

/** A vector of one element per channel, shaped so that it broadcasts. */
function overChannels(c: Calc, v: Value, layout: Layout, rank: number): Value {
  const count = c.shape(v)[0]!;
  return layout === "nhwc" ? v : c.reshape(v, [count, ...new Array<number>(rank - 2).fill(1)]);
}

const batchNorm = defineSingle(n.batch_norm, (_, b) => {
  const c = new Calc(b.g);
  const [x, gamma, beta, mean, variance] = b.ins as [Value, Value, Value, Value, Value];
  const { layout, epsilon } = b.attrs;
  const rank = c.shape(x).length;
  const wide = (v: Value): Value => overChannels(c, v, layout, rank);
  return b.through(() => {
    const root = b.g.apply(e.sqrt, [c.add(variance, num(epsilon))]);
    const scale = c.div(gamma, root);
    return [c.add(c.mul(c.sub(x, wide(mean)), wide(scale)), wide(beta))];
  });
});

const batchNormTraining = defineVjp(n.batch_norm_training, (b) => {
  const c = new Calc(b.g);
  const [x, gamma] = b.ins as [Value, Value];
  const [, mean, variance] = b.outs as [Value, Value, Value];
  const [forY, forMean, forVariance] = b.cotangents;
  const shape = c.shape(x);
  const { layout } = b.attrs;
  const wide = (v: Value): Value => overChannels(c, v, layout, shape.length);
  const count = shape.reduce((a, d) => a * d, 1) / c.shape(gamma)[0]!;
  const parts: Value[] = [];
  let rest: readonly Value[] = [];
  if (forY != null) {
    const ins = [x, gamma, mean, variance, forY];
    const [dx, ...others] = b.g.applyAll(n.batch_norm_training_backward, ins, b.attrs);
    parts.push(dx!);
    rest = others;
  }
  if (forMean != null) {
    parts.push(c.expand(wide(c.mul(forMean, num(1 / count))), shape));
  }
  if (forVariance != null) {
    parts.push(c.mul(c.sub(x, wide(mean)), wide(c.mul(forVariance, num(2 / count)))));
  }
  return [parts.length === 0 ? null : parts.reduce((a, v) => c.add(a, v)), ...rest];
});

/** Normalisation over `axes`, then scale and shift that broadcast. */
function normalise(
  c: Calc,
  x: Value,
  axes: readonly number[],
  epsilon: number,
  centre: boolean,
): Value {
  const mean = (v: Value): Value => c.g.apply(reduceMean, [v], { axes, keepDims: true });
  const d = centre ? c.sub(x, mean(x)) : x;
  const deviation = c.g.apply(e.sqrt, [c.add(mean(c.mul(d, d)), num(epsilon))]);
  return c.div(d, deviation);
}

const axesFrom = (c: Calc, x: Value, axis: number): number[] =>
  c.shape(x).flatMap((_, i) => (i >= axis ? [i] : []));

const layerNorm = defineSingle(n.layer_norm, (_, b) => {
  const c = new Calc(b.g);
  const [x, gamma, beta] = b.ins as [Value, Value?, Value?];
  return b.through(() => {
    const y = normalise(c, x, axesFrom(c, x, b.attrs.axis), b.attrs.epsilon, true);
    const scaled = gamma === undefined ? y : c.mul(y, gamma);
    return [beta === undefined ? scaled : c.add(scaled, beta)];
  });
});

const rmsNorm = defineSingle(n.rms_norm, (_, b) => {
  const c = new Calc(b.g);
  const [x, gamma] = b.ins as [Value, Value?];
  return b.through(() => {
    const y = normalise(c, x, axesFrom(c, x, b.attrs.axis), b.attrs.epsilon, false);
    return [gamma === undefined ? y : c.mul(y, gamma)];
  });
});

const instanceNorm = defineSingle(n.instance_norm, (_, b) => {
  const c = new Calc(b.g);
  const [x, gamma, beta] = b.ins as [Value, Value, Value];
  const { layout, epsilon } = b.attrs;
  const rank = c.shape(x).length;
  const spatial = spatialOf(
    layout,
    c.shape(x).map((_, i) => i),
  );
  return b.through(() => {
    const y = normalise(c, x, spatial, epsilon, true);
    const scaled = c.mul(y, overChannels(c, gamma, layout, rank));
    return [c.add(scaled, overChannels(c, beta, layout, rank))];
  });
});

const lrn = defineSingle(n.lrn, (_, b) => {
  const c = new Calc(b.g);
  const x = b.ins[0]!;
  const { layout, size, alpha, beta, bias } = b.attrs;
  const shape = c.shape(x);
  const axis = channelAxis(layout, shape.length);
  const before = Math.floor((size - 1) / 2);
  return b.through(() => {
    // A sum of `size` shifted copies of the squares.
    const pads = (amount: number): number[] => shape.map((_, i) => (i === axis ? amount : 0));
    const attrs = { before: pads(before), after: pads(size - 1 - before) };
    const squares = c.g.apply(shapeOps.pad, [c.mul(x, x)], { ...attrs, mode: "constant" as const });
    let sum: Value | null = null;
    for (let i = 0; i < size; i++) {
      const part = c.g.apply(shapeOps.slice, [squares], {
        start: pads(i),
        size: shape,
        step: shape.map(() => 1),
      });
      sum = sum === null ? part : c.add(sum, part);
    }
    const base = c.add(c.mul(sum!, num(alpha / size)), num(bias));
    return [c.mul(x, c.g.apply(e.pow, [base, c.scalar(-beta, x)]))];
  });
});

export const normRules: readonly VjpRule[] = [
  batchNorm,
  batchNormTraining,
  layerNorm,
  rmsNorm,
  instanceNorm,
  lrn,
];
