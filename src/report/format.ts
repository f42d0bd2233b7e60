/** @file Numbers as people read them: one number of decimals per column, narrow spaces between thousands. */
import type { MetricName } from "../optimize/metrics.ts";

const NARROW_SPACE = "\u202f";
const MINUS = "\u2212";
const DASH = "–";

const grouped = (digits: string): string => digits.replace(/\B(?=(\d{3})+$)/g, NARROW_SPACE);

/** Fixed decimals, thousands grouped, a true minus; a dash when there is no number. */
export function fixed(x: number, decimals = 0): string {
  if (!Number.isFinite(x)) return x > 0 ? "∞" : x < 0 ? `${MINUS}∞` : DASH;
  const [whole = "", fraction] = Math.abs(x).toFixed(decimals).split(".");
  const text = grouped(whole) + (fraction === undefined ? "" : `.${fraction}`);
  return x < 0 && /[1-9]/.test(text) ? MINUS + text : text;
}

/** Decimals that give the largest of the numbers about three digits. */
export function decimalsFor(xs: readonly number[]): number {
  const largest = Math.max(0, ...xs.filter(Number.isFinite).map(Math.abs));
  if (largest >= 100) return 1;
  if (largest >= 10) return 2;
  return largest >= 0.1 ? 3 : 4;
}

/** Scientific with two digits: 1.7e−4. */
export const scientific = (x: number): string =>
  Number.isFinite(x) ? x.toExponential(1).replace("e+", "e").replaceAll("-", MINUS) : fixed(x);

/** Three significant digits. */
export function short(x: number): string {
  const rounded = Number(x.toPrecision(3));
  const size = Math.abs(rounded);
  if (size === 0 || !Number.isFinite(rounded)) return fixed(rounded);
  if (size < 1e-3) return scientific(rounded);
  return fixed(rounded, Math.max(0, 2 - Math.floor(Math.log10(size))));
}

/** A number someone chose: as short as it can be written. */
export const asGiven = (x: number): string =>
  Number.isFinite(x) ? String(Number(x.toPrecision(6))).replace("-", MINUS) : fixed(x);

const SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹";

/** A power of ten as 10⁻⁴. */
export function powerOfTen(x: number): string {
  const exponent = Math.round(Math.log10(x));
  const digits = [...String(Math.abs(exponent))].map((d) => SUPERSCRIPTS[Number(d)]!).join("");
  return `10${exponent < 0 ? "⁻" : ""}${digits}`;
}

/** Bytes with a decimal unit: 594 kB. */
export function bytes(n: number): string {
  if (n < 1000) return `${fixed(n)} B`;
  return n < 1e6 ? `${short(n / 1e3)} kB` : `${short(n / 1e6)} MB`;
}

/** A duration with a unit: 1.76 ms. */
export const duration = (ms: number): string =>
  ms < 0.1 ? `${short(ms * 1000)} µs` : `${short(ms)} ms`;

/** How a metric is written. */
export interface MetricWords {
  /** In running text: "top-1 accuracy". */
  readonly name: string;
  /** Header of its column. */
  readonly header: string;
  /** Header of the drop's column. */
  readonly dropHeader: string;
  /** Whether more is better. */
  readonly rising: boolean;
  /** A value without its unit. */
  readonly value: (x: number) => string;
  /** A value with its unit. */
  readonly quantity: (x: number) => string;
  /** Unit of a drop, with a space before; empty when it has none. */
  readonly dropUnit: string;
}

const percent = (name: string, header: string): MetricWords => ({
  name,
  header: `${header}, %`,
  dropHeader: "Drop, points",
  rising: true,
  value: (x) => fixed(x, 2),
  quantity: (x) => `${fixed(x, 2)} %`,
  dropUnit: " points",
});

export const METRICS: Readonly<Record<MetricName, MetricWords>> = {
  top1: percent("top-1 accuracy", "Top-1"),
  agreement: percent("agreement with the original model", "Agreement"),
  mse: {
    name: "squared error relative to the original's outputs",
    header: "Relative squared error",
    dropHeader: "Increase",
    rising: false,
    value: short,
    quantity: short,
    dropUnit: "",
  },
};

/** "low to high" for an interval. */
export const range = (write: (x: number) => string, low: number, high: number): string =>
  `${write(low)} to ${write(high)}`;
