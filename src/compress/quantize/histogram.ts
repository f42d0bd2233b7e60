/** @file Streaming statistics of one value: range, moving range, and a histogram of magnitudes by sign. */

export const BINS = 2048;
/** Growing beyond this many bins doubles their width instead. */
const MAX_BINS = 1 << 15;
const MOMENTUM = 0.9;

/** What calibration knows about one value. Bin k counts magnitudes in [k * width, (k + 1) * width). */
export interface ValueStats {
  readonly min: number;
  readonly max: number;
  /** Exponential moving averages of each batch's minimum and maximum. */
  readonly movingMin: number;
  readonly movingMax: number;
  readonly width: number;
  readonly negative: Float64Array;
  readonly positive: Float64Array;
  readonly count: number;
}

/** Collects ValueStats batch by batch. The first batch sets the bin width; later ones add bins. */
export class StatsCollector {
  private min = Number.POSITIVE_INFINITY;
  private max = Number.NEGATIVE_INFINITY;
  private movingMin = 0;
  private movingMax = 0;
  private width = 0;
  private negative = new Float64Array(BINS);
  private positive = new Float64Array(BINS);
  private count = 0;

  /** Adds a batch; values that are not finite are not counted. */
  add(values: ArrayLike<number>): void {
    let lo = Number.POSITIVE_INFINITY;
    let hi = Number.NEGATIVE_INFINITY;
    for (let i = 0; i < values.length; i++) {
      const x = values[i]!;
      if (!Number.isFinite(x)) continue;
      if (x < lo) lo = x;
      if (x > hi) hi = x;
    }
    if (lo > hi) return;
    const first = this.count === 0;
    this.movingMin = first ? lo : MOMENTUM * this.movingMin + (1 - MOMENTUM) * lo;
    this.movingMax = first ? hi : MOMENTUM * this.movingMax + (1 - MOMENTUM) * hi;
    this.min = Math.min(this.min, lo);
    this.max = Math.max(this.max, hi);
    this.reach(Math.max(Math.abs(lo), Math.abs(hi)));
    this.fill(values);
  }

  private reach(magnitude: number): void {
    if (this.width === 0) {
      this.width = magnitude / BINS;
      return;
    }
    while (magnitude >= MAX_BINS * this.width) this.halve();
    const need = Math.floor(magnitude / this.width) + 1;
    if (need <= this.positive.length) return;
    const grown = (old: Float64Array): Float64Array<ArrayBuffer> => {
      const next = new Float64Array(Math.min(MAX_BINS, need));
      next.set(old);
      return next;
    };
    this.positive = grown(this.positive);
    this.negative = grown(this.negative);
  }

  private halve(): void {
    const merged = (old: Float64Array): Float64Array<ArrayBuffer> => {
      const next = new Float64Array(Math.max(BINS, Math.ceil(old.length / 2)));
      old.forEach((n, i) => {
        next[i >> 1]! += n;
      });
      return next;
    };
    this.positive = merged(this.positive);
    this.negative = merged(this.negative);
    this.width *= 2;
  }

  private fill(values: ArrayLike<number>): void {
    const { positive, negative, width } = this;
    const last = positive.length - 1;
    for (let i = 0; i < values.length; i++) {
      const x = values[i]!;
      if (!Number.isFinite(x)) continue;
      const bin = width === 0 ? 0 : Math.min(last, Math.floor(Math.abs(x) / width));
      if (x < 0) negative[bin]!++;
      else positive[bin]!++;
      this.count++;
    }
  }

  stats(): ValueStats {
    const { min, max, movingMin, movingMax, width, count } = this;
    const empty = count === 0;
    return {
      min: empty ? 0 : min,
      max: empty ? 0 : max,
      movingMin,
      movingMax,
      width,
      negative: this.negative.slice(),
      positive: this.positive.slice(),
      count,
    };
  }
}
