/**
 * @file What a candidate is worth on evaluation data, with an interval: top-1 accuracy, agreement with the
 * original model, and mean squared error against it.
 */
import { argMax } from "../util/math.ts";
import { makeRng } from "../util/rng.ts";

export type MetricName = "top1" | "agreement" | "mse";

/** A measured value with its 95 % interval. top1 and agreement in percent; mse relative (see `mse`). */
export interface MetricValue {
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

/** Every row's outputs: the first output of the model, flattened. */
export type Outputs = readonly Float32Array[];

/** z of the two-sided 95 % interval. */
const Z = 1.959963984540054;

/** Wilson score interval of `hits` of `n`, in percent. */
export function proportion(hits: number, n: number): MetricValue {
  if (n === 0) return { value: Number.NaN, low: 0, high: 100 };
  const p = hits / n;
  const z2 = (Z * Z) / n;
  const centre = (p + z2 / 2) / (1 + z2);
  const half = (Z * Math.sqrt((p * (1 - p)) / n + z2 / (4 * n))) / (1 + z2);
  return {
    value: 100 * p,
    low: 100 * Math.max(0, centre - half),
    high: 100 * Math.min(1, centre + half),
  };
}

/** Per row: is the prediction the label? */
export const correct = (outputs: Outputs, labels: readonly number[]): boolean[] =>
  outputs.map((o, i) => argMax(o) === labels[i]);

/** Per row: is the prediction the reference's? */
export const agreeing = (outputs: Outputs, reference: Outputs): boolean[] =>
  outputs.map((o, i) => argMax(o) === argMax(reference[i]!));

/** Per row: squared error over the reference's mean square (all rows), so that 0.01 is 20 dB. */
export function relativeErrors(outputs: Outputs, reference: Outputs): number[] {
  let power = 0;
  let count = 0;
  for (const r of reference) {
    for (const x of r) power += x * x;
    count += r.length;
  }
  const scale = power / Math.max(count, 1) || 1;
  return outputs.map((o, i) => {
    let sum = 0;
    for (let k = 0; k < o.length; k++) sum += (o[k]! - reference[i]![k]!) ** 2;
    return sum / Math.max(o.length, 1) / scale;
  });
}

/** Mean with a bootstrap percentile interval (1,000 resamples, seeded). */
export function meanInterval(xs: readonly number[], seed: number): MetricValue {
  const mean = (values: readonly number[]): number =>
    values.reduce((a, b) => a + b, 0) / Math.max(values.length, 1);
  const rng = makeRng(seed);
  const means = Array.from({ length: 1000 }, () => {
    let sum = 0;
    for (let i = 0; i < xs.length; i++) sum += xs[rng.int(xs.length)]!;
    return sum / Math.max(xs.length, 1);
  }).sort((a, b) => a - b);
  return { value: mean(xs), low: means[25]!, high: means[974]! };
}

/**
 * The drop from `before` to `after` on the same rows in percentage points, with the 95 % interval for
 * paired proportions (Agresti and Min 2005: Wald after adding one half to each cell).
 */
export function pairedDrop(before: readonly boolean[], after: readonly boolean[]): MetricValue {
  let lost = 0;
  let won = 0;
  before.forEach((b, i) => {
    if (b && !after[i]) lost++;
    if (!b && after[i]) won++;
  });
  const n = Math.max(before.length, 1);
  const m = n + 2;
  const b = lost + 0.5;
  const c = won + 0.5;
  const centre = (b - c) / m;
  const half = (Z * Math.sqrt(b + c - (b - c) ** 2 / m)) / m;
  return {
    value: (100 * (lost - won)) / n,
    low: 100 * (centre - half),
    high: 100 * (centre + half),
  };
}
