/** @file The settings of `tersor optimize`: flags over the configuration file, checked for completeness. */
import type { TersorConfig } from "../src/config.ts";
import type { Preprocess } from "../src/data/preprocess.ts";
import type { MetricName } from "../src/optimize/metrics.ts";
import type { Limits } from "../src/optimize/types.ts";
import { UserError } from "../src/util/errors.ts";
import { loadConfig } from "./config.ts";
import type { CommonOptions } from "./io.ts";
import type { ModelOptions } from "./options.ts";
import { type PreprocessOptions, preprocessOf } from "./preprocess-options.ts";

export interface OptimizeFlags extends CommonOptions, ModelOptions, PreprocessOptions {
  readonly data?: string;
  readonly eval?: string;
  readonly metric?: MetricName;
  readonly maxDrop?: number;
  readonly maxBytes?: number;
  readonly maxLatency?: number;
  readonly out?: string;
  readonly column?: string;
  readonly labelColumn?: string;
  readonly calibrationRows?: number;
  readonly evalRows?: number;
  readonly recipes?: readonly string[];
  readonly objective?: "size" | "latency";
  readonly config?: string;
  readonly dryRun?: boolean;
}

export interface Settings {
  readonly data: string;
  readonly eval?: string;
  readonly out: string;
  readonly metric: MetricName;
  readonly limits: Limits;
  readonly preprocess: Preprocess;
  readonly seed: number;
  readonly column?: string;
  readonly labelColumn?: string | null;
  readonly calibrationRows?: number;
  readonly evaluationRows?: number;
  readonly recipes?: readonly string[];
  readonly objective?: "size" | "latency";
}

function required<T>(value: T | undefined, flag: string, model: string): T {
  if (value !== undefined) return value;
  const example = `tersor optimize ${model} --data calib.parquet --metric top1 --max-drop 1 --out build`;
  throw new UserError("E_ARGUMENT", `${flag} is missing`, { hint: `for example: ${example}` });
}

/** The entries that are set. */
function given<T extends object>(entries: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  const set = Object.entries(entries).filter(([, v]) => v !== undefined);
  return Object.fromEntries(set) as { [K in keyof T]: Exclude<T[K], undefined> };
}

/** Flags where given, else the configuration, else defaults. Throws for what only the user can decide. */
export async function settingsOf(model: string, flags: OptimizeFlags): Promise<Settings> {
  const { config } = await loadConfig(flags.config);
  return merge(model, flags, config);
}

function merge(model: string, flags: OptimizeFlags, config: TersorConfig): Settings {
  const limits = given({
    maxBytes: flags.maxBytes ?? config.maxBytes,
    maxLatencyMs: flags.maxLatency ?? config.maxLatencyMs,
  });
  const optional = given({
    eval: flags.eval ?? config.eval,
    column: flags.column ?? config.column,
    labelColumn: flags.labelColumn ?? config.labelColumn,
    calibrationRows: flags.calibrationRows ?? config.calibrationRows,
    evaluationRows: flags.evalRows ?? config.evaluationRows,
    recipes: flags.recipes ?? config.recipes,
    objective: flags.objective ?? config.objective,
  });
  return {
    ...optional,
    data: required(flags.data ?? config.data, "--data", model),
    metric: required(flags.metric ?? config.metric, "--metric", model),
    limits: {
      ...limits,
      maxDrop: required(flags.maxDrop ?? config.maxDrop, "--max-drop", model),
    },
    out: required(flags.out, "--out", model),
    preprocess: preprocessOf(flags, config.preprocess),
    seed: flags.seed ?? config.seed ?? 1,
  } as Settings;
}
