/** @file How `tersor prune` trains: a configuration of `tersor train`, flags over it. */
import { resolve } from "node:path";
import type { Graph } from "../src/graph/graph.ts";
import type { OptimizerConfig, ScheduleConfig, SparsityConfig } from "../src/train/config.ts";
import { LAMBDA } from "../src/train/sparse/index.ts";
import { withBatch } from "../src/train/with-batch.ts";
import { UserError } from "../src/util/errors.ts";
import { seedOf } from "./io.ts";
import { numberOf, type PruneFlags, pairsOf } from "./prune-options.ts";
import { loadPartialConfig, type TrainSettings } from "./train-config.ts";

/** Rows of a batch when nobody says. */
const BATCH = 32;

/** One training of the command: of a graph, in a folder. */
export interface Training {
  readonly graph: Graph;
  readonly out: string;
  readonly epochs: number;
  /** Default: that of fine-tuning. */
  readonly schedule?: ScheduleConfig;
  readonly sparsity?: SparsityConfig;
}

export interface PruneSettings {
  /** Enough to read data and evaluate. */
  readonly base: TrainSettings;
  /** Whether anything is trained. */
  readonly trains: boolean;
  /** Epochs behind the last round, and between rounds. */
  readonly epochs: number;
  readonly between: number;
  readonly scratch: { readonly epochs: number; readonly schedule: ScheduleConfig };
  /** What the flags say of single weights beside the method and the share. */
  readonly sparsity: Pick<SparsityConfig, "gradual" | "srste" | "regrow">;
  /** The settings of a training. */
  of(training: Training): TrainSettings;
}

const TUNE_KEYS = [
  ...["epochs", "rate", "batch", "between", "schedule", "warm-up"],
  ...["optimizer", "momentum", "decay", "smoothing"],
];
const SCHEDULES = ["constant", "cosine", "one-cycle"] as const;
const OPTIMIZERS = ["sgd", "momentum", "nesterov", "adam", "adamw"] as const;

function oneOf<T extends string>(text: string, all: readonly T[], key: string, flag: string): T {
  const found = all.find((x) => x === text);
  if (found !== undefined) return found;
  throw new UserError("E_ARGUMENT", `${key}: there is no '${text}'`, {
    where: flag,
    hint: `one of ${all.join(", ")}`,
  });
}

type Pairs = Readonly<Record<string, string>>;

/** The schedule of a flag over the one there is; null: neither has a rate. */
function scheduleOf(p: Pairs, flag: string, base: ScheduleConfig | null): ScheduleConfig | null {
  const rate = numberOf(p, "rate", flag, "above 0");
  const warmUp = numberOf(p, "warm-up", flag, "from 0");
  const kind = p["schedule"];
  if (rate === undefined && kind === undefined) return base;
  const highest = rate ?? base?.rate;
  if (highest === undefined) {
    throw new UserError("E_ARGUMENT", "the rate is missing", {
      where: flag,
      hint: "for example epochs=5,rate=0.02",
    });
  }
  return {
    kind: kind === undefined ? "cosine" : oneOf(kind, SCHEDULES, "schedule", flag),
    rate: highest,
    ...(warmUp !== undefined && { warmUp }),
  };
}

function optimizerOf(p: Pairs, base: OptimizerConfig | undefined): OptimizerConfig {
  const flag = "--finetune";
  const kind = p["optimizer"];
  const momentum = numberOf(p, "momentum", flag, "from 0");
  const decay = numberOf(p, "decay", flag, "from 0");
  const start: OptimizerConfig =
    kind === undefined
      ? (base ?? { kind: "nesterov" })
      : { kind: oneOf(kind, OPTIMIZERS, "optimizer", flag) };
  return {
    ...start,
    ...(momentum !== undefined && { momentum }),
    ...(decay !== undefined && { decay }),
  };
}

type Found = Awaited<ReturnType<typeof loadPartialConfig>>;

function dataOf(flags: PruneFlags, found: Found, p: Pairs): TrainSettings["data"] {
  const train = flags.data ?? found.data?.train;
  if (train === undefined) {
    throw new UserError("E_ARGUMENT", "there is no training data", {
      where: flags.config ?? "--data",
      hint: "give --data, or data.train in the configuration",
    });
  }
  const { evalData, column, labelColumn, dataRows: rows, evalRows, mean, std, length } = flags;
  const over = { eval: evalData, column, labelColumn, rows, evalRows, mean, std, length };
  const given = Object.fromEntries(Object.entries(over).filter(([, v]) => v !== undefined));
  const batch = numberOf(p, "batch", "--finetune", "whole") ?? found.data?.batch ?? BATCH;
  return { ...found.data, ...given, train, batch };
}

/** How many epochs a flag or the configuration says; null: nothing is trained. */
function epochsOf(p: Pairs, flags: PruneFlags, found: Found, trains: boolean): number {
  const own = numberOf(p, "epochs", "--finetune", "above 0");
  const epochs = own ?? found.epochs;
  if (epochs !== undefined || !trains) return epochs ?? 0;
  throw new UserError("E_ARGUMENT", "the number of epochs is missing", {
    where: flags.config ?? "--finetune",
    hint: "for example epochs=5,rate=0.02",
  });
}

/** The entries that are numbers. */
const numbers = <K extends string>(entries: Readonly<Record<K, number | undefined>>) =>
  Object.fromEntries(Object.entries(entries).filter(([, x]) => x !== undefined)) as {
    readonly [P in K]?: number;
  };

function gradualOf(text: string | true): NonNullable<SparsityConfig["gradual"]> {
  if (text === true) return {};
  const flag = "--gradual";
  const p = pairsOf(text, flag, ["begin", "end", "every"]);
  return numbers({
    begin: numberOf(p, "begin", flag, "from 0"),
    end: numberOf(p, "end", flag, "above 0"),
    every: numberOf(p, "every", flag, "whole"),
  });
}

function regrowOf(text: string | true): NonNullable<SparsityConfig["regrow"]> {
  if (text === true) return {};
  const flag = "--regrow";
  const p = pairsOf(text, flag, ["share", "every", "end", "grow"]);
  const { grow } = p;
  return {
    ...numbers({
      share: numberOf(p, "share", flag, "share"),
      every: numberOf(p, "every", flag, "whole"),
      end: numberOf(p, "end", flag, "above 0"),
    }),
    ...(grow !== undefined && { grow: oneOf(grow, ["gradient", "random"], "grow", flag) }),
  };
}

/** What the flags say of single weights in training. */
const sparsityOf = ({ gradual, srste, regrow }: PruneFlags): PruneSettings["sparsity"] => ({
  ...(gradual !== undefined && { gradual: gradualOf(gradual) }),
  ...(srste !== undefined && { srste: srste === true ? LAMBDA : srste }),
  ...(regrow !== undefined && { regrow: regrowOf(regrow) }),
});

/** Reads the configuration and the flags. */
export async function pruneSettings(flags: PruneFlags): Promise<PruneSettings> {
  const found: Found = flags.config === undefined ? {} : await loadPartialConfig(flags.config);
  const flag = "--finetune";
  const p = flags.finetune === undefined ? {} : pairsOf(flags.finetune, flag, TUNE_KEYS);
  const schedule = scheduleOf(p, flag, found.schedule ?? null);
  if (schedule === null && flags.finetune !== undefined) {
    throw new UserError("E_ARGUMENT", "the rate is missing", {
      where: flag,
      hint: "for example epochs=5,rate=0.02",
    });
  }
  const trains = schedule !== null;
  const smoothing = numberOf(p, "smoothing", flag, "from 0");
  const loss = found.loss ?? { kind: "cross-entropy" as const };
  const between = numberOf(p, "between", flag, "above 0") ?? 1;
  const epochs = epochsOf(p, flags, found, trains);
  const scratchPairs =
    typeof flags.scratch === "string"
      ? pairsOf(flags.scratch, "--scratch", ["epochs", "rate", "schedule", "warm-up"])
      : {};
  const { model: _m, quantize: _q, sparsity: _s, ...rest } = found;
  const usual: ScheduleConfig = schedule ?? { kind: "constant", rate: 1 };
  const base: TrainSettings = {
    ...rest,
    model: { build: "none" },
    data: dataOf(flags, found, p),
    loss: loss.kind === "cross-entropy" && smoothing !== undefined ? { ...loss, smoothing } : loss,
    optimizer: optimizerOf(p, found.optimizer),
    schedule: usual,
    epochs,
    seed: flags.seed ?? found.seed ?? seedOf(flags),
    threads: flags.threads ?? found.threads ?? 1,
    engine: flags.engine ?? found.engine ?? "wasm",
    out: resolve(flags.out),
  };
  return {
    ...{ base, trains, epochs, between, sparsity: sparsityOf(flags) },
    scratch: {
      epochs:
        numberOf(scratchPairs, "epochs", "--scratch", "above 0") ??
        epochs + ((flags.rounds ?? 1) - 1) * between,
      schedule: scheduleOf(scratchPairs, "--scratch", usual)!,
    },
    of: ({ graph, out, epochs: n, schedule: own, sparsity }) => ({
      ...base,
      ...{ model: ({ batch }) => withBatch(graph, batch), epochs: n, out },
      ...{ schedule: own ?? usual },
      ...(sparsity !== undefined && { sparsity }),
    }),
  };
}
