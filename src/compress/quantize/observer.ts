/**
 * @file How the range of a value is chosen from its statistics. Sources: min-max and moving average
 * (Jacob et al., CVPR 2018), percentile and entropy (Migacz, "8-bit Inference with TensorRT", 2017; the
 * variant of NVIDIA's pytorch-quantization), mean squared error.
 */
import { UserError } from "../../util/errors.ts";
import { clamp, roundHalfEven } from "../../util/math.ts";
import { BINS, type ValueStats } from "./histogram.ts";

export type Observer =
  | { readonly kind: "min-max" }
  | { readonly kind: "moving-average" }
  /** `p` in percent of the values that lie within; default 99.99. */
  | { readonly kind: "percentile"; readonly p?: number }
  | { readonly kind: "mse" }
  | { readonly kind: "entropy" };

export const OBSERVERS: readonly Observer["kind"][] = [
  "min-max",
  "moving-average",
  "percentile",
  "mse",
  "entropy",
];

export interface Range {
  readonly min: number;
  readonly max: number;
}

/** The range a value is to be quantised over, within what was seen; always contains 0. */
export function rangeOf(stats: ValueStats, observer: Observer): Range {
  const r = chosen(stats, observer);
  return {
    min: Math.min(0, Math.max(r.min, stats.min)),
    max: Math.max(0, Math.min(r.max, stats.max)),
  };
}

function chosen(stats: ValueStats, observer: Observer): Range {
  if (stats.width === 0 || observer.kind === "min-max") return { min: stats.min, max: stats.max };
  switch (observer.kind) {
    case "moving-average":
      return { min: stats.movingMin, max: stats.movingMax };
    case "percentile":
      return percentile(stats, observer.p ?? 99.99);
    case "mse":
      return leastError(stats);
    case "entropy": {
      if (stats.count < LEAST_FOR_ENTROPY) return { min: stats.min, max: stats.max };
      const amax = entropyThreshold(stats);
      return { min: -amax, max: amax };
    }
  }
}

/** Fewer values leave most bins empty, and the divergence then rewards clipping: the full range is kept. */
const LEAST_FOR_ENTROPY = 16 * BINS;

/** Smallest bin edges that leave no more than 100 - p percent of the values beyond, half on each side. */
function percentile(stats: ValueStats, p: number): Range {
  if (!(p > 0 && p <= 100)) {
    throw new UserError("E_ARGUMENT", `percentile ${p} is not above 0 and at most 100`);
  }
  const allowed = (stats.count * (100 - p)) / 100;
  const twoSided = stats.min < 0 && stats.max > 0;
  const edge = (bins: Float64Array): number => {
    let beyond = 0;
    let k = bins.length;
    while (k > 0 && beyond + bins[k - 1]! <= (twoSided ? allowed / 2 : allowed))
      beyond += bins[--k]!;
    return k * stats.width;
  };
  return { min: -edge(stats.negative), max: edge(stats.positive) };
}

const LEVELS = 255;

/** Sum of squared errors when the histogram's bin centres are quantised to 8 bits over the range. */
function squaredError(stats: ValueStats, { min, max }: Range): number {
  const scale = (max - min) / LEVELS;
  if (!(scale > 0)) return Number.POSITIVE_INFINITY;
  const zero = roundHalfEven(-min / scale);
  let sum = 0;
  const side = (bins: Float64Array, sign: number): void => {
    for (let k = 0; k < bins.length; k++) {
      if (bins[k] === 0) continue;
      const x = sign * (k + 0.5) * stats.width;
      const q = clamp(roundHalfEven(x / scale) + zero, 0, LEVELS);
      sum += bins[k]! * (scale * (q - zero) - x) ** 2;
    }
  };
  side(stats.positive, 1);
  side(stats.negative, -1);
  return sum;
}

/** Finer near the full range, and small enough to cut outliers a thousand times the rest. */
const SHRINKS: readonly number[] = Array.from({ length: 80 }, (_, i) => 1 - i / 100).concat(
  Array.from({ length: 40 }, (_, i) => 0.2 * 0.85 ** (i + 1)),
);

/** The range of least squared error: both ends shrunk together, then each by itself. */
function leastError(stats: ValueStats): Range {
  const full = { min: Math.min(0, stats.min), max: Math.max(0, stats.max) };
  let best: Range = full;
  let error = squaredError(stats, full);
  const attempt = (r: Range): void => {
    const e = squaredError(stats, r);
    if (e < error) [best, error] = [r, e];
  };
  for (const s of SHRINKS) attempt({ min: full.min * s, max: full.max * s });
  const { max } = best;
  for (const s of SHRINKS) attempt({ min: full.min * s, max });
  const { min } = best;
  for (const s of SHRINKS) attempt({ min, max: full.max * s });
  return best;
}

/** The magnitude whose clipped, coarsened distribution diverges least from the original. */
export function entropyThreshold(stats: ValueStats): number {
  const bins = stats.positive.map((n, k) => n + stats.negative[k]!);
  const levels = stats.min >= 0 || stats.max <= 0 ? 256 : 128;
  // The bin at 0 holds the many exact zeros after relu, which any range represents.
  bins[0] = bins[1]!;
  const suffix = new Float64Array(bins.length + 1);
  for (let k = bins.length - 1; k >= 0; k--) suffix[k] = suffix[k + 1]! + bins[k]!;
  let best = Number.POSITIVE_INFINITY;
  let at = bins.length;
  const step = Math.ceil(bins.length / (2 * BINS));
  for (let i = Math.min(levels, bins.length); i <= bins.length; i += step) {
    const d = divergence(bins, i, suffix[i]!, levels);
    if (d <= best) [best, at] = [d, i];
  }
  return at * stats.width;
}

/** KL divergence of the first n bins, with everything beyond added to the last, from their coarse form. */
function divergence(bins: Float64Array, n: number, beyond: number, levels: number): number {
  const coarse = new Float64Array(n);
  let totalP = beyond;
  let totalQ = 0;
  for (let j = 0; j < levels; j++) {
    const from = Math.floor((j * n) / levels);
    const to = Math.floor(((j + 1) * n) / levels);
    let mass = 0;
    let filled = 0;
    for (let k = from; k < to; k++) {
      mass += bins[k]!;
      if (bins[k]! > 0) filled++;
    }
    for (let k = from; k < to; k++) if (bins[k]! > 0) coarse[k] = mass / filled;
    totalP += mass;
    totalQ += mass;
  }
  if (totalQ === 0) return Number.POSITIVE_INFINITY;
  let d = 0;
  for (let k = 0; k < n; k++) {
    const p = (bins[k]! + (k === n - 1 ? beyond : 0)) / totalP;
    if (p > 0) d += p * Math.log(p / Math.max(coarse[k]! / totalQ, 1e-12));
  }
  return d;
}
