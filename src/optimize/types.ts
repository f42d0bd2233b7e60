/** @file The words of an optimisation: what goes in, what is measured, what comes out. JSON-ready. */
import type { Explanation } from "../select/select.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { MetricName, MetricValue } from "./metrics.ts";

/** Rows ready for the model: the feeds of all inputs, one example each. */
export interface Rows {
  readonly feeds: readonly (readonly Tensor[])[];
  /** Class per row; empty when there are no labels. */
  readonly labels: readonly number[];
}

/** What the user allows. Undefined: no limit. */
export interface Limits {
  /** Largest drop: percentage points for top1 and agreement, relative squared error for mse. */
  readonly maxDrop: number;
  /** Largest artefact, code and weights, in bytes. */
  readonly maxBytes?: number;
  /** Largest median latency in this engine, in milliseconds. */
  readonly maxLatencyMs?: number;
}

export interface Bytes {
  readonly code: number;
  readonly weights: number;
  readonly total: number;
  /** Total after gzip. */
  readonly gzip: number;
}

/** Median latency with the spread of the rounds' medians. */
export interface Latency {
  readonly p50Ms: number;
  readonly lowMs: number;
  readonly highMs: number;
}

export interface LayerRow {
  readonly name: string;
  readonly op: string;
  readonly implementation: string;
  readonly macs: number;
  readonly weightBytes: number;
  readonly measuredMs: number;
  readonly predictedMs: number;
  /** Relative squared error of the output when only this layer is int8; null when not measured. */
  readonly sensitivity: number | null;
}

export interface CandidateReport {
  readonly recipe: string;
  readonly description: string;
  readonly metric: MetricName;
  readonly value: number;
  readonly low: number;
  readonly high: number;
  /** Against the baseline on the same rows, in the metric's unit; positive is worse. */
  readonly drop: MetricValue;
  readonly bytes: Bytes;
  readonly latencyMs: number;
  readonly latency: Latency;
  readonly arenaBytes: number;
  /** Within every limit. */
  readonly accepted: boolean;
  /** Why not, or what the measurement leaves open. */
  readonly remark: string;
}

export interface BaselineReport {
  readonly metric: MetricName;
  readonly value: number;
  readonly low: number;
  readonly high: number;
  /** Weights in the source model. */
  readonly weightBytes: number;
  readonly bytes: Bytes;
  readonly latencyMs: number;
  readonly latency: Latency;
  readonly arenaBytes: number;
}

export interface OptimizeReport {
  readonly model: string;
  readonly tersor: string;
  readonly seed: number;
  readonly engine: string;
  readonly limits: Limits;
  readonly rows: {
    readonly calibration: number;
    readonly evaluation: number;
    readonly note: string;
  };
  readonly preprocess: object;
  readonly baseline: BaselineReport;
  readonly candidates: readonly CandidateReport[];
  /** Null when no candidate is within the limits. */
  readonly chosen: CandidateReport | null;
  readonly layers: readonly LayerRow[];
  /** Why each of these layers is computed as it is; times predicted for this machine. */
  readonly selection: Explanation;
  /** Differences that the measurement supports, as sentences. */
  readonly findings: readonly string[];
}

export type OptimizeEvent =
  | { readonly kind: "stage"; readonly text: string }
  | {
      readonly kind: "progress";
      readonly text: string;
      readonly done: number;
      readonly total: number;
    };
