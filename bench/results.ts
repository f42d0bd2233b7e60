/** @file What one benchmark run found: the contents of its JSON file. */
import type { Machine, Timing } from "../cli/measure.ts";
import type { ModelDType } from "./models/index.ts";

/** A model in one element type. */
export interface CaseFacts {
  readonly model: string;
  readonly dtype: ModelDType;
  readonly macs: number;
}

/** One engine on one case. */
export interface Measured extends CaseFacts {
  /** Id of the run, see runs.ts. */
  readonly run: string;
  readonly detail: string;
  readonly peakBytes: number | null;
  /** From the model in memory to the first result, in a process that has run before. */
  readonly loadMs: number;
  /** Largest difference from the reference results, over their largest magnitude. */
  readonly difference: number;
  /** Null: the results were wrong, or the engine failed. */
  readonly timing: Timing | null;
}

/** An engine that did not take a case, or failed at it, and why. */
export interface Refused extends CaseFacts {
  readonly run: string;
  readonly reason: string;
}

/** A figure of a compiled model that is no latency. */
export interface ModelFigures {
  readonly model: string;
  readonly dtype: ModelDType;
  /** All variants of the code, without weights, after gzip. */
  readonly codeGzipBytes: number;
  readonly plannedBytes: number;
  /** Linear memory after an inference. */
  readonly linearBytes: number;
  /** Growth of the process's resident memory, its code and the JavaScript engine's work included. */
  readonly residentBytes: number;
  /** Medians over fresh processes: the module's bytes in memory to the first result. */
  readonly coldStartMs: number;
}

/** The matrix kernel at 256 x 256 x 256 and the rates of bare fused multiply-adds. */
export interface GemmFigure {
  readonly target: string;
  readonly kernel: { readonly what: string; readonly gflops: number };
  readonly peaks: readonly { readonly what: string; readonly gflops: number }[];
}

/** A 1x1 layer of 256 to 256 channels and 192 pixels with 90 % zeros. */
export interface SparseFigure {
  readonly denseUs: number;
  readonly sparseUs: number;
  /** What the selector takes of the measured times. */
  readonly pick: string;
}

export interface Verdict {
  readonly what: string;
  readonly target: string;
  readonly measured: string;
  /** Null: not measured in this run. */
  readonly met: boolean | null;
}

export interface BenchReport {
  readonly date: string;
  readonly machine: Machine;
  readonly seconds: number;
  readonly measured: readonly Measured[];
  readonly refused: readonly Refused[];
  readonly missing: readonly string[];
  readonly figures: readonly ModelFigures[];
  readonly gemm: readonly GemmFigure[];
  readonly sparse: SparseFigure | null;
  readonly verdicts: readonly Verdict[];
}

export const geometricMean = (numbers: readonly number[]): number =>
  Math.exp(numbers.reduce((sum, x) => sum + Math.log(x), 0) / numbers.length);

/** p10Ms is nearly free of what else the machine did, which only ever adds time. */
export type Statistic = "p50Ms" | "p10Ms";

/** Milliseconds of a run on a case, by default the median; null: not timed. */
export function timeOf(
  report: Pick<BenchReport, "measured">,
  run: string,
  model: string,
  dtype: ModelDType,
  statistic: Statistic = "p50Ms",
): number | null {
  const found = report.measured.find(
    (m) => m.run === run && m.model === model && m.dtype === dtype,
  );
  return found?.timing?.[statistic] ?? null;
}

/** A run and the element type it computes on. */
export type Side = readonly [run: string, dtype: ModelDType];

/** Per model that both sides timed: time of `slow` over time of `fast`. */
export function ratios(
  report: Pick<BenchReport, "measured">,
  slow: Side,
  fast: Side,
  statistic: Statistic = "p50Ms",
): { readonly model: string; readonly ratio: number }[] {
  const models = [...new Set(report.measured.map((m) => m.model))];
  return models.flatMap((model) => {
    const [a, b] = [
      timeOf(report, slow[0], model, slow[1], statistic),
      timeOf(report, fast[0], model, fast[1], statistic),
    ];
    return a === null || b === null ? [] : [{ model, ratio: a / b }];
  });
}
