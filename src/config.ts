/** @file What `tersor.config.ts` may say: defaults for the flags of `tersor optimize`. */
import type { Preprocess } from "./data/preprocess.ts";
import type { MetricName } from "./optimize/metrics.ts";

export interface TersorConfig {
  /** Path of the calibration data, relative to the configuration file. */
  readonly data?: string;
  /** Path of the evaluation data, relative to the configuration file. */
  readonly eval?: string;
  /** Parquet column or .npz array of the examples, and of the labels (null: none). */
  readonly column?: string;
  readonly labelColumn?: string | null;
  /** How stored values become what the model expects. */
  readonly preprocess?: Preprocess;
  readonly metric?: MetricName;
  /** Percentage points for top1 and agreement, relative squared error for mse. */
  readonly maxDrop?: number;
  readonly maxBytes?: number;
  readonly maxLatencyMs?: number;
  readonly calibrationRows?: number;
  readonly evaluationRows?: number;
  readonly recipes?: readonly string[];
  readonly objective?: "size" | "latency";
  readonly seed?: number;
}

/** Gives a configuration its type: `export default defineConfig({ … })`. */
export const defineConfig = (config: TersorConfig): TersorConfig => config;
