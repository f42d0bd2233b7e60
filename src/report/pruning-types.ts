/** @file What a report of `tersor prune` with data says. */
import type { PrunedLayer, Sensitivity } from "../compress/prune/index.ts";

/** Milliseconds of single inferences. */
export interface MeasuredTime {
  readonly p10Ms: number;
  readonly p50Ms: number;
  readonly p90Ms: number;
}

/** One model: the original, the pruned one at its stages, those beside it. */
export interface PruneVariant {
  readonly name: string;
  readonly about: string;
  /** Of the metric. */
  readonly value: number;
  readonly macs: number;
  /** Of all constants. */
  readonly weightBytes: number;
  /** Of the ONNX file, and compressed by gzip. */
  readonly onnxBytes: number;
  readonly gzipBytes: number;
  readonly predictedMs: number;
  /** Null: its layers are those of the next model that was measured. */
  readonly measured: MeasuredTime | null;
  /** Of training; null: none. */
  readonly seconds: number | null;
  readonly epochs: number | null;
}

/** One form of a model on disk, of the original and of the result, in bytes. */
export interface StoredPair {
  readonly what: "ONNX" | "ONNX without zeros" | "WebAssembly";
  readonly raw: readonly [before: number, after: number];
  /** After gzip -9. */
  readonly gzip: readonly [before: number, after: number];
}

/** Milliseconds in the original and in the result. */
export interface TimesPair {
  readonly predictedMs: readonly [before: number, after: number];
  readonly measuredMs: readonly [before: number, after: number];
}

/** A layer before and after; `times` null: it is not computed apart from others. */
export type ReportedLayer = PrunedLayer & { readonly times: TimesPair | null };

/** One round of pruning and training. */
export interface PruneRoundRow {
  readonly round: number;
  /** Share of the channels, or weights, gone so far. */
  readonly removed: number;
  readonly macs: number;
  /** Of the metric, as pruned and as trained behind it. */
  readonly pruned: number;
  readonly tuned: number | null;
}

export interface PruneReport {
  readonly model: string;
  readonly tersor: string;
  /** The arguments of the command. */
  readonly command: readonly string[];
  readonly method: string;
  /** What was to be reached, in words. */
  readonly target: string;
  readonly metric: "accuracy" | "mse" | "output error";
  readonly better: "high" | "low";
  /** Where training, and evaluation, got their examples, and how many. */
  readonly data: {
    readonly train: string;
    readonly trainCount: number;
    readonly evaluation: string;
    readonly evaluationCount: number;
  };
  readonly seed: number;
  /** Of training. */
  readonly engine: string;
  readonly machine: string;
  /** The original first. */
  readonly variants: readonly PruneVariant[];
  /** Which of them was written as the result. */
  readonly result: string;
  readonly rounds: readonly PruneRoundRow[];
  readonly layers: readonly ReportedLayer[];
  /** Of everything that is no layer, or that is computed together with one. */
  readonly rest: TimesPair;
  readonly stored: readonly StoredPair[];
  readonly sensitivity:
    | (Sensitivity & {
        /** Training examples that it was evaluated on. */
        readonly rows: number;
        /** The share that each group lost. */
        readonly chosen: Readonly<Record<string, number>>;
      })
    | null;
  readonly notes: readonly string[];
}
