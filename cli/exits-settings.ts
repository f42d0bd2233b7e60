/** @file The settings of `tersor exits`: flags over a configuration in the form of `tersor train`'s. */
import { join } from "node:path";
import type { LossConfig } from "../src/train/config.ts";
import type { Confidence, ExitTarget } from "../src/train/exits/index.ts";
import { UserError } from "../src/util/errors.ts";
import { type CommonOptions, type Io, seedOf } from "./io.ts";
import type { ModelOptions } from "./options.ts";
import { loadPartialConfig, type TrainFlags, type TrainSettings } from "./train-config.ts";
import type { TrainingFlags } from "./train-options.ts";

export interface ExitsFlags extends CommonOptions, TrainFlags, ModelOptions, TrainingFlags {
  readonly at?: readonly string[];
  readonly conv?: number;
  readonly mode?: "joint" | "self";
  readonly freeze?: boolean;
  readonly hold?: number;
  readonly confidence?: Confidence;
  readonly maxDrop?: number;
  readonly meanMacs?: number;
  readonly threshold?: number;
  readonly int8?: boolean;
  readonly out: string;
}

/** How the threshold is found: a number, or by what it must give. */
export type ThresholdRule = { readonly threshold: number } | ExitTarget;

export interface ExitsSettings {
  /** Of the training; its model is filled in later. */
  readonly train: TrainSettings;
  readonly rule: ThresholdRule;
  readonly confidence: Confidence;
  /** Share of the training data that the threshold is chosen by. */
  readonly hold: number;
}

/** The rule of the flags. Throws UserError when they say two. */
export function ruleOf({ maxDrop, meanMacs, threshold }: ExitsFlags): ThresholdRule {
  const given = Object.entries({ maxDrop, meanMacs, threshold }).filter((e) => e[1] !== undefined);
  if (given.length > 1) {
    throw new UserError("E_ARGUMENT", "the threshold is asked for in two ways", {
      where: "--max-drop, --mean-macs, --threshold",
      hint: "give one of them",
    });
  }
  if (threshold !== undefined) return { threshold };
  return meanMacs === undefined ? { maxDrop: maxDrop ?? 0.5 } : { meanCost: meanMacs };
}

type Found = Awaited<ReturnType<typeof loadPartialConfig>>;
type ExitsLoss = Extract<LossConfig, { kind: "exits" }>;

/** The configuration without what the command itself decides. */
async function configOf({ config }: ExitsFlags, io: Io): Promise<Found> {
  if (config === undefined) return {};
  const { model, loss, out, ...rest } = await loadPartialConfig(config);
  const own = loss?.kind === "exits" ? loss : undefined;
  const unused = { model, loss: own === undefined ? loss : undefined, out };
  const names = Object.entries(unused).flatMap(([k, v]) => (v === undefined ? [] : [k]));
  if (names.length > 0) {
    io.note(`note: ${config}: ${names.join(", ")} not used; the model and --out say it`);
  }
  if (rest.quantize === undefined) return { ...rest, ...(own && { loss: own }) };
  throw new UserError("E_CONFIG", "quantize: exits are trained in float", {
    where: config,
    hint: "leave it out and give --int8",
  });
}

/** Rows of a batch, and passes over the data, when nobody says. */
const BATCH = 128;
const EPOCHS = 10;
/** Highest rates: of weights that know something, and of fresh branches alone. */
const RATES = { all: 0.02, branches: 0.1 };

function dataOf(path: string, flags: ExitsFlags, { data }: Found): TrainSettings["data"] {
  const train = flags.data ?? data?.train;
  const rows = flags.evalData ?? data?.eval;
  const missing = (what: string, flag: string): UserError =>
    new UserError("E_ARGUMENT", `${what} is missing`, {
      where: flag,
      hint: `for example: tersor exits ${path} --data train.parquet --eval-data test.parquet --out exits`,
    });
  if (train === undefined) throw missing("training data", "--data");
  if (rows === undefined) throw missing("data to evaluate on", "--eval-data");
  return { ...data, train, eval: rows, batch: flags.batch ?? data?.batch ?? BATCH };
}

function scheduleOf(flags: ExitsFlags, found: Found): TrainSettings["schedule"] {
  const usual = {
    kind: "one-cycle" as const,
    rate: flags.freeze ? RATES.branches : RATES.all,
  };
  const own = found.schedule ?? usual;
  return flags.rate === undefined ? own : { ...own, rate: flags.rate };
}

/** Throws UserError E_CONFIG or E_ARGUMENT that says what is missing or wrong. */
export async function exitsSettings(
  path: string,
  flags: ExitsFlags,
  io: Io,
): Promise<ExitsSettings> {
  const found = await configOf(flags, io);
  const { loss: own = { kind: "exits" }, model: _, ...rest } = found;
  const loss: ExitsLoss = { ...(own as ExitsLoss), ...(flags.mode && { mode: flags.mode }) };
  const train: TrainSettings = {
    ...rest,
    ...{ model: { build: "none" }, data: dataOf(path, flags, found), loss },
    optimizer: found.optimizer ?? { kind: "nesterov", decay: 5e-4 },
    schedule: scheduleOf(flags, found),
    epochs: flags.epochs ?? found.epochs ?? EPOCHS,
    seed: flags.seed ?? found.seed ?? seedOf(flags),
    threads: flags.threads ?? found.threads ?? 1,
    engine: flags.engine ?? found.engine ?? "wasm",
    out: join(flags.out, "training"),
  };
  const { confidence = "max", hold = 0.1 } = flags;
  return { train, rule: ruleOf(flags), confidence, hold };
}
