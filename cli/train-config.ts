/** @file Loads and checks the configuration of `tersor train`, with flags over it. */
import { dirname, resolve } from "node:path";
import type { ModelFile, TrainConfig } from "../src/train/config.ts";
import { UserError } from "../src/util/errors.ts";
import {
  above,
  atLeast,
  between,
  byName,
  either,
  flag,
  list,
  object,
  oneOf,
  type Rule,
  text,
  variants,
  whole,
} from "./check.ts";
import { readConfigFile } from "./config.ts";
import type { CommonOptions } from "./io.ts";
import { BUILDERS } from "./train-models.ts";

export interface TrainFlags extends CommonOptions {
  readonly epochs?: number;
  readonly threads?: number;
  readonly engine?: "wasm" | "native";
  readonly out?: string;
  readonly resume?: boolean;
  readonly fresh?: boolean;
}

/** A checked configuration: paths absolute, what has a default filled in. */
export type TrainSettings = TrainConfig &
  Required<Pick<TrainConfig, "loss" | "optimizer" | "seed" | "threads" | "engine" | "out">> & {
    /** What stays, of a model that is no file. */
    readonly stays?: Pick<ModelFile, "freeze" | "batchNorm">;
  };

const isFunction = (v: unknown): boolean => typeof v === "function";
const has = (key: string) => (v: unknown) => typeof v === "object" && v !== null && key in v;

const builder: Rule = (value, key) => {
  const { build } = value as { readonly build: unknown };
  oneOf(...Object.keys(BUILDERS))(build, `${key}.build`);
  const { options, needed } = BUILDERS[build as string]!;
  object({ build: text, classes: whole(2), ...options }, needed)(value, key);
};

const modelFile = object(
  {
    file: text,
    freeze: list(text),
    shapes: byName(list(whole(1))),
    batchNorm: oneOf("batch", "frozen", "trained"),
  },
  ["file"],
);

const model: Rule = either(
  isFunction,
  () => {},
  either(has("file"), modelFile, either(has("build"), builder, object({ build: text }, ["build"]))),
);

const preprocess = object({
  resize: oneOf("stretch", "fit-height"),
  channelOrder: oneOf("rgb", "bgr"),
  layout: oneOf("nchw", "nhwc"),
  scale: atLeast(Number.NEGATIVE_INFINITY),
  mean: either(Array.isArray, list(atLeast(-1e30)), atLeast(-1e30)),
  std: either(Array.isArray, list(above(0)), above(0)),
  dtype: text,
  quantScale: above(0),
  zeroPoint: atLeast(-1e9),
});

const dataKeys = {
  train: text,
  eval: text,
  column: text,
  labelColumn: either(
    (v) => v === null,
    () => {},
    text,
  ),
  rows: whole(1),
  evalRows: whole(1),
  batch: whole(1),
  workers: whole(0),
  classes: whole(2),
  size: list(whole(1), 2),
  channels: oneOf(1, 3),
  mean: list(between(-10, 10)),
  std: list(above(0)),
  length: whole(1),
  shape: list(whole(1)),
  preprocess,
  augment: object({
    shift: whole(0),
    mirror: flag,
    cutout: whole(0),
    timeShift: whole(0),
    gain: between(0, 120),
    noise: atLeast(0),
    mixup: atLeast(0),
    views: whole(0),
  }),
};
const data = object(dataKeys, ["train", "batch"]);

const smoothing = between(0, 1);

const loss = variants({
  "cross-entropy": object({ kind: text, smoothing }),
  mse: object({ kind: text, target: oneOf("classes", "input") }),
  exits: object({
    kind: text,
    mode: oneOf("joint", "self"),
    weights: either(Array.isArray, list(atLeast(0)), atLeast(0)),
    temperature: above(0),
    alpha: between(0, 1),
    smoothing,
  }),
  distillation: object(
    {
      kind: text,
      teacher: text,
      temperature: above(0),
      alpha: between(0, 1),
      beta: atLeast(0),
      points: list(
        either(
          (v) => typeof v === "string",
          text,
          object({ student: text, teacher: text }, ["student", "teacher"]),
        ),
      ),
      hint: atLeast(0),
      shapes: byName(list(whole(1))),
      smoothing,
    },
    ["teacher"],
  ),
});

const share = between(0, 1);
const anyOptimizer = {
  kind: text,
  decay: either((v) => typeof v === "number", atLeast(0), byName(atLeast(0))),
  clipNorm: above(0),
  clipValue: above(0),
  average: between(0, 1),
};
const withMomentum = object({ ...anyOptimizer, momentum: share });
const adaptive = object({ ...anyOptimizer, beta1: share, beta2: share, epsilon: above(0) });
const optimizer = variants({
  sgd: object(anyOptimizer),
  momentum: withMomentum,
  nesterov: withMomentum,
  adam: adaptive,
  adamw: adaptive,
});

const timed = { kind: text, rate: above(0), warmUp: atLeast(0) };
const schedule = variants({
  constant: object(timed, ["rate"]),
  step: object({ ...timed, milestones: list(above(0)), factor: above(0) }, ["rate", "milestones"]),
  cosine: object({ ...timed, last: atLeast(0) }, ["rate"]),
  "one-cycle": object({ ...timed, rising: between(0, 1) }, ["rate"]),
});

const keys = {
  model,
  data,
  loss,
  optimizer,
  schedule,
  epochs: above(0),
  quantize: object({
    scheme: oneOf("minmax", "lsq"),
    weightBits: either(Number.isInteger, between(2, 8), whole(2)),
    edgeBits: either(Number.isInteger, between(2, 8), whole(2)),
    observe: atLeast(0),
    keepFloat: list(text),
  }),
  sparsity: object(
    {
      method: text,
      ratio: between(0, 1),
      gradual: object({ begin: atLeast(0), end: above(0), every: whole(1) }),
      srste: atLeast(0),
      regrow: object({
        share: between(0, 1),
        every: whole(1),
        end: above(0),
        grow: oneOf("gradient", "random"),
      }),
    },
    ["method"],
  ),
  seed: whole(0),
  threads: whole(1),
  engine: oneOf("wasm", "native"),
  evaluate: object({
    every: above(0),
    metric: oneOf("accuracy", "mse"),
    keep: oneOf("best", "last"),
  }),
  earlyStopping: object({ patience: whole(1), minDelta: atLeast(0) }, ["patience"]),
  checkpoint: object({ every: whole(1), keep: whole(1) }),
  log: object({ every: whole(1) }),
  out: text,
};
const config = object(keys, ["model", "data", "schedule", "epochs"]);
const partial = object({ ...keys, data: object(dataKeys) });

/** Throws UserError E_CONFIG that names the key, what was expected and what is there. */
export function checkTrainConfig(value: unknown, where: string): TrainConfig {
  const all: Rule = (v, key) => {
    config(v, key);
    together(v as TrainConfig);
  };
  checkWith(all, value, where);
  return value as TrainConfig;
}

function checkWith(rule: Rule, value: unknown, where: string): void {
  try {
    if (value === undefined) {
      throw new UserError("E_CONFIG", "exports no configuration", {
        hint: "write export default { … }",
      });
    }
    rule(value, "");
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const { code, message, hint } = error;
    throw new UserError(code, message, { where, ...(hint !== undefined && { hint }) });
  }
}

/** What keys must say together. */
function together({ data: d, evaluate, earlyStopping, loss: l }: TrainConfig): void {
  const missing = (key: string, why: string): never => {
    throw new UserError("E_CONFIG", `${key}: missing`, { hint: why });
  };
  if (d.eval === undefined && earlyStopping !== undefined) {
    missing("data.eval", "earlyStopping needs data to evaluate with");
  }
  if (d.eval === undefined && evaluate !== undefined) {
    missing("data.eval", "evaluate needs data to evaluate with");
  }
  if (l?.kind === "mse" && l.target === "input" && evaluate?.metric === "accuracy") {
    throw new UserError("E_CONFIG", 'evaluate.metric: expected "mse", got "accuracy"', {
      hint: "the loss compares with the input, not with classes",
    });
  }
}

/** A configuration that other flags complete. */
export type PartialConfig = Partial<Omit<TrainConfig, "data">> & {
  readonly data?: Partial<TrainConfig["data"]>;
};

/** The configuration at `path`, of which nothing need be there; paths absolute. */
export async function loadPartialConfig(path: string): Promise<PartialConfig> {
  const value = await readConfigFile(path);
  checkWith(partial, value, path);
  return absolute(value as PartialConfig, dirname(path));
}

/** Paths of data and teacher as they are from anywhere. */
function absolute<T extends PartialConfig>(found: T, folder: string): T {
  const beside = (p: string): string => resolve(folder, p);
  const { data: d, loss: l } = found;
  const paths = {
    ...(d?.train !== undefined && { train: beside(d.train) }),
    ...(d?.eval !== undefined && { eval: beside(d.eval) }),
  };
  return {
    ...found,
    ...(d !== undefined && { data: { ...d, ...paths } }),
    ...(l?.kind === "distillation" && { loss: { ...l, teacher: beside(l.teacher) } }),
  };
}

/** The configuration at `path`, flags over it. */
export async function loadTrainConfig(path: string, flags: TrainFlags): Promise<TrainSettings> {
  const found = checkTrainConfig(await readConfigFile(path), path);
  const out =
    flags.out ?? (found.out === undefined ? undefined : resolve(dirname(path), found.out));
  if (out === undefined) {
    throw new UserError("E_CONFIG", "out: missing", {
      where: path,
      hint: "name a folder for results, there or with --out",
    });
  }
  return trainSettings(found, dirname(path), { ...flags, out });
}

/** A checked configuration with paths from `folder` on, flags over it, and defaults. */
export function trainSettings(
  found: TrainConfig,
  folder: string,
  flags: TrainFlags & { readonly out: string },
): TrainSettings {
  const own = absolute(found, folder);
  const { model: m } = own;
  return {
    ...own,
    model: typeof m === "object" && "file" in m ? { ...m, file: resolve(folder, m.file) } : m,
    loss: own.loss ?? { kind: "cross-entropy" },
    optimizer: own.optimizer ?? { kind: "nesterov" },
    epochs: flags.epochs ?? own.epochs,
    seed: flags.seed ?? own.seed ?? 1,
    threads: flags.threads ?? own.threads ?? 1,
    engine: flags.engine ?? own.engine ?? "wasm",
    out: flags.out,
  };
}
