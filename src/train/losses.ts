/**
 * @file Losses as graph: each gives one number. Targets of classifications are distributions [batch, classes], so
 * that smoothing and mixing of labels are the data's affair.
 */

import { Calc, num } from "../autodiff/calc.ts";
import type { GraphBuilder, Value } from "../graph/graph.ts";
import { max } from "../ops/elementwise/max.ts";
import { sqrt } from "../ops/elementwise/sqrt.ts";
import { logSoftmax, reduceMean, softmax } from "../ops/reduce/index.ts";

/** Minus the mean over rows of the sum over classes of target times log-probability. */
export function crossEntropy(g: GraphBuilder, logits: Value, target: Value): Value {
  const c = new Calc(g);
  const axis = c.shape(logits).length - 1;
  const logs = g.apply(logSoftmax, [logits], { axis });
  const rows = c.shape(logits)[0]!;
  const axes = c.shape(logits).map((_, i) => i);
  return c.mul(c.sum(c.mul(logs, target), axes), num(-1 / rows));
}

/** The mean of squared differences. */
export function meanSquaredError(g: GraphBuilder, y: Value, target: Value): Value {
  const c = new Calc(g);
  const d = c.sub(y, target);
  const axes = c.shape(y).map((_, i) => i);
  return g.apply(reduceMean, [c.mul(d, d)], { axes, keepDims: false });
}

/**
 * Hinton's distillation term (arXiv:1503.02531): T^2 * KL(softmax(t / T) || softmax(s / T)), summed over classes,
 * averaged over rows.
 */
export function distillation(
  g: GraphBuilder,
  student: Value,
  teacher: Value,
  temperature: number,
): Value {
  const c = new Calc(g);
  const axis = c.shape(student).length - 1;
  const soften = (v: Value): Value => c.mul(v, num(1 / temperature));
  const t = soften(teacher);
  const p = g.apply(softmax, [t], { axis });
  const logP = g.apply(logSoftmax, [t], { axis });
  const logQ = g.apply(logSoftmax, [soften(student)], { axis });
  const rows = c.shape(student)[0]!;
  const axes = c.shape(student).map((_, i) => i);
  const kl = c.sum(c.mul(p, c.sub(logP, logQ)), axes);
  return c.mul(kl, num(temperature ** 2 / rows));
}

/**
 * The attention map of activations [batch, height, width, channels] (arXiv:1612.03928): the mean of squares over
 * channels, as a vector of unit length per row.
 */
export function attentionMap(g: GraphBuilder, a: Value): Value {
  const c = new Calc(g);
  const [rows, h, w] = c.shape(a) as [number, number, number, number];
  const f = c.reshape(g.apply(reduceMean, [c.mul(a, a)], { axes: [3], keepDims: false }), [
    rows,
    h * w,
  ]);
  const norm = c.g.apply(sqrt, [c.sum(c.mul(f, f), [1], true)]);
  return c.div(f, g.apply(max, [norm, c.scalar(1e-12, f)]));
}

/** Attention transfer at one pair of points: the mean of squared differences of the maps. */
export function attentionTransfer(g: GraphBuilder, student: Value, teacher: Value): Value {
  return meanSquaredError(g, attentionMap(g, student), attentionMap(g, teacher));
}
