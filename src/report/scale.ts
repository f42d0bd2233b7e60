/** @file Axes: from values to coordinates, with round tick values. */
import { clamp } from "../util/math.ts";

export interface Scale {
  readonly low: number;
  readonly high: number;
  readonly ticks: readonly number[];
  /** Coordinate of a value; values beyond the ends lie on them. */
  readonly at: (value: number) => number;
}

/** Steps of 1, 2 or 5 times a power of ten, about `count` of them. */
function niceStep(span: number, count: number): number {
  const rough = span / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const factor = [1, 2, 5, 10].find((f) => f * power >= rough) ?? 10;
  return factor * power;
}

/** A linear axis over [low, high]; coordinates run from `start` to `end`. */
export function linearScale(
  low: number,
  high: number,
  start: number,
  end: number,
  count = 5,
): Scale {
  const top = high > low ? high : low + (Math.abs(low) || 1);
  const step = niceStep(top - low, count);
  const ticks: number[] = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= top + step * 1e-9; i++) {
    ticks.push(i * step);
  }
  const at = (v: number): number =>
    start + ((clamp(v, low, top) - low) / (top - low)) * (end - start);
  return { low, high: top, ticks, at };
}

/** A logarithmic axis that covers the positive values given, ticks at powers of ten. */
export function logScale(values: readonly number[], start: number, end: number): Scale {
  const positive = values.filter((v) => v > 0 && Number.isFinite(v));
  const from = Math.floor(Math.log10(Math.min(...positive, 1)) - 0.2);
  const to = Math.max(from + 1, Math.ceil(Math.log10(Math.max(...positive, 1e-12)) + 0.05));
  const every = Math.ceil((to - from) / 7);
  const ticks: number[] = [];
  for (let e = from; e <= to; e += every) ticks.push(10 ** e);
  const at = (v: number): number => {
    const e = clamp(Math.log10(Math.max(v, 1e-300)), from, to);
    return start + ((e - from) / (to - from)) * (end - start);
  };
  return { low: 10 ** from, high: 10 ** to, ticks, at };
}
