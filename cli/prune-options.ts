/** @file What the flags of `tersor prune` say: the method, how much goes, training on the way. */
import { type Command, Option } from "commander";
import {
  type ChooseOptions,
  CRITERIA,
  LOSS_CRITERIA,
  type PruneCriterion,
} from "../src/compress/prune/index.ts";
import { unpackWeights } from "../src/compress/quantize/index.ts";
import { constantBytes, macsOf } from "../src/graph/count.ts";
import type { Graph } from "../src/graph/graph.ts";
import { type CompileModelOptions, cleanGraph } from "../src/pipeline.ts";
import { type PruneAmount, type PruneMethod, predictedMs, pruneMethod } from "../src/prune.ts";
import { UserError } from "../src/util/errors.ts";
import type { CommonOptions } from "./io.ts";
import { type ModelOptions, numberList, realNumber, wholeNumber } from "./options.ts";
import { type SparsityMethod, sparsityMethod } from "./train-sparsity.ts";

export interface PruneFlags extends CommonOptions, ModelOptions {
  readonly method: string;
  readonly ratio?: number;
  readonly target?: string;
  readonly roundTo?: number;
  readonly maxShare?: number;
  /** True: without a value. */
  readonly perCost?: CostName | true;
  readonly profile?: string;
  readonly out: string;
  readonly data?: string;
  readonly evalData?: string;
  readonly column?: string;
  readonly labelColumn?: string;
  readonly dataRows?: number;
  readonly evalRows?: number;
  readonly mean?: readonly number[];
  readonly std?: readonly number[];
  readonly length?: number;
  readonly config?: string;
  readonly finetune?: string;
  readonly rounds?: number;
  readonly gradual?: string | true;
  readonly srste?: number | true;
  readonly regrow?: string | true;
  readonly engine?: "wasm" | "native";
  readonly threads?: number;
  readonly sensitivity?: boolean;
  readonly ratios?: "auto";
  readonly scratch?: string | true;
  readonly thinner?: boolean;
  readonly int8?: boolean;
  readonly seconds?: number;
  readonly fresh?: boolean;
}

export const METHODS =
  "channels: l1, l2, bn, fpgm, random, with data taylor, fisher; weights: magnitude, magnitude-layer, lamp, blocks, nm=2:4, with data snip, with training movement";

const COSTS = ["macs", "bytes", "latency"] as const;
type CostName = (typeof COSTS)[number];

/** Flags that need data. */
export const withDataFlags = (command: Command): Command =>
  command
    .option("--data <path>", "training data: Parquet, npy, npz, IDX, or a folder by class")
    .option("--eval-data <path>", "data to evaluate with; default: the training data")
    .option("--column <name>", "column or array of the examples")
    .option("--label-column <name>", "column or array of the class index")
    .option("--data-rows <n>", "only the first rows of --data", wholeNumber(1))
    .option("--eval-rows <n>", "only the first rows of --eval-data", wholeNumber(1))
    .option("--mean <list>", "of pictures, one number per channel, values 0 to 1", numberList)
    .option("--std <list>", "of pictures, one number per channel", numberList)
    .option("--length <n>", "samples of every sound", wholeNumber(1))
    .option("--config <file>", "data, loss, optimizer, schedule … as for tersor train")
    .option("--finetune <settings>", "train afterwards: epochs=5,rate=0.02,batch=128")
    .option("--rounds <n>", "prune and train in so many rounds, default 1", wholeNumber(1))
    .option("--gradual [settings]", "weights go while training: begin=0,end=3 (epochs)")
    .option("--srste [decay]", "n:m chosen anew in every step, default 2e-4", realNumber(0))
    .option("--regrow [settings]", "weights come back while training: share=0.3,every=100")
    .option("--sensitivity", "evaluate with each group of channels cut alone")
    .addOption(
      new Option("--ratios <how>", "auto: a share for each group by its sensitivity").choices([
        "auto",
      ]),
    )
    .option("--scratch [settings]", "also train the pruned architecture anew: epochs=5,rate=0.1")
    .option("--thinner", "also a net narrowed evenly to the same cost, trained the same")
    .option("--int8", "also quantise the pruned model to 8 bits")
    .addOption(new Option("--engine <name>", "of training").choices(["wasm", "native"]))
    .option("--threads <n>", "of training; results do not depend on it", wholeNumber(1))
    .option("--seconds <n>", "to measure each model, default 1", realNumber(0.01))
    .option("--fresh", "train anew, whatever the folder holds");

/** Single weights, by anything that does not have them at 0 already. */
export type SingleMethod = Exclude<SparsityMethod, { readonly kind: "zeros" }>;

/** Channels by any criterion, or single weights. */
export type AnyMethod =
  | { readonly kind: "channels"; readonly criterion: PruneCriterion }
  | SingleMethod;

/** The method of --method, with data. */
export function anyMethodOf(text: string): AnyMethod {
  const criterion = CRITERIA.find((c) => c === text);
  if (criterion !== undefined) return { kind: "channels", criterion };
  const single = sparsityMethod(text);
  return single === null || single.kind === "zeros" ? methodOf(text) : single;
}

/** The method of --method, without data. */
export function methodOf(text: string): PruneMethod {
  if (LOSS_CRITERIA.some((c) => c === text)) {
    throw new UserError("E_ARGUMENT", `${text} takes gradients of a loss on training data`, {
      where: "--method",
      hint: "give --data, or use l1, l2, bn or fpgm",
    });
  }
  const single = sparsityMethod(text);
  if (single?.kind === "snip" || single?.kind === "movement") {
    const [why, hint] =
      single.kind === "snip"
        ? ["takes gradients of a loss on training data", "give --data, or use magnitude or lamp"]
        : ["is found by training", "give --data and --finetune, or use magnitude or lamp"];
    throw new UserError("E_ARGUMENT", `${text} ${why}`, { where: "--method", hint });
  }
  const method = pruneMethod(text);
  if (method !== null) return method;
  throw new UserError("E_ARGUMENT", `there is no method '${text}'`, {
    where: "--method",
    hint: `one of ${METHODS}`,
  });
}

const UNITS: Readonly<Record<string, number>> = {
  "": 1,
  b: 1,
  k: 1e3,
  kb: 1e3,
  m: 1e6,
  mb: 1e6,
  g: 1e9,
  us: 1e-3,
  ms: 1,
  s: 1e3,
};

/** What models cost, of the clean graph. */
export const costOf =
  (name: CostName, predict: CompileModelOptions = {}) =>
  (graph: Graph): number => {
    const clean = cleanGraph(graph);
    if (name === "latency") return predictedMs(clean, predict);
    return name === "macs" ? macsOf(clean) : constantBytes(clean);
  };

/** The cost that --per-cost names; true: that of the target; undefined: it is not given. */
export function perCostOf(
  { perCost, ratio }: PruneFlags,
  predict: CompileModelOptions,
): ChooseOptions["perCost"] {
  if (perCost !== true) return perCost === undefined ? undefined : costOf(perCost, predict);
  return ratio === undefined ? true : costOf("latency", predict);
}

/** The name of a cost, of --per-cost. */
export function costName(text: string): CostName {
  const found = COSTS.find((c) => c === text);
  if (found !== undefined) return found;
  throw new UserError("E_ARGUMENT", `there is no cost '${text}'`, {
    where: "--per-cost",
    hint: `one of ${COSTS.join(", ")}`,
  });
}

/** --ratio, or a target as "macs=50%"; a share is of the clean model's. */
export function amountOf(
  options: Pick<PruneFlags, "ratio" | "target">,
  graph: Graph,
  predict: CompileModelOptions = {},
): PruneAmount | undefined {
  const { ratio, target } = options;
  if (ratio !== undefined && target !== undefined) {
    throw new UserError("E_ARGUMENT", "--ratio and --target are two ways to say how much goes", {
      hint: "give one of them",
    });
  }
  if (ratio !== undefined && ratio <= 1) return { ratio };
  if (ratio !== undefined) {
    throw new UserError("E_ARGUMENT", `a ratio is from 0 to 1, got ${ratio}`, { where: "--ratio" });
  }
  if (target === undefined) return undefined;
  const match = /^(macs|bytes|latency)=([\d.]+)\s*(%|[a-z]*)$/i.exec(target);
  const unit = match?.[3]?.toLowerCase();
  const x = Number(match?.[2]);
  const known = unit === "%" || (unit !== undefined && UNITS[unit] !== undefined);
  if (match === null || !known || !(x > 0)) {
    throw new UserError("E_ARGUMENT", `'${target}' is no target`, {
      where: "--target",
      hint: "for example macs=50%, macs=3M, bytes=100KB, latency=2ms",
    });
  }
  const what = match[1]!.toLowerCase() as CostName;
  const whole = (): number => costOf(what, predict)(unpackWeights(cleanGraph(graph)));
  const value = unit === "%" ? (x / 100) * whole() : x * UNITS[unit!]!;
  if (what === "latency") return { latencyMs: value };
  return what === "macs" ? { macs: value } : { bytes: value };
}

/** "epochs=5,rate=0.02" by key. Throws UserError for keys that are not `known`. */
export function pairsOf(
  text: string,
  flag: string,
  known: readonly string[],
): Readonly<Record<string, string>> {
  const entries = text.split(",").map((part) => {
    const at = part.indexOf("=");
    const [key, value] = [part.slice(0, at).trim(), part.slice(at + 1).trim()];
    if (at > 0 && value !== "" && known.includes(key)) return [key, value] as const;
    throw new UserError("E_ARGUMENT", `'${part}' is no setting`, {
      where: flag,
      hint: `write them as ${known[0]}=1,…; there are ${known.join(", ")}`,
    });
  });
  return Object.fromEntries(entries);
}

/** A number of pairsOf above or from `least`, or from 0 to 1; undefined: it is not there. */
export function numberOf(
  pairs: Readonly<Record<string, string>>,
  key: string,
  flag: string,
  least: "above 0" | "from 0" | "whole" | "share",
): number | undefined {
  const text = pairs[key];
  if (text === undefined) return undefined;
  const x = Number(text);
  const fits = {
    "above 0": x > 0,
    "from 0": x >= 0,
    whole: x > 0 && Number.isInteger(x),
    share: x >= 0 && x <= 1,
  };
  if (fits[least] && Number.isFinite(x)) return x;
  const words = { whole: "a whole number above 0", share: "a number from 0 to 1" };
  const expected = least in words ? words[least as keyof typeof words] : `a number ${least}`;
  throw new UserError("E_ARGUMENT", `${key}: expected ${expected}, got '${text}'`, { where: flag });
}
