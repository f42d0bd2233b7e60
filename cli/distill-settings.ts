/** @file The settings of `tersor distill`: flags over a configuration in the form of `tersor train`'s. */
import { dirname, join, resolve } from "node:path";
import type { LossConfig } from "../src/train/config.ts";
import type { PointNames } from "../src/train/distil.ts";
import { UserError } from "../src/util/errors.ts";
import { readConfigFile } from "./config.ts";
import type { CommonOptions, Io } from "./io.ts";
import { loadOptions } from "./options.ts";
import {
  checkTrainConfig,
  type TrainFlags,
  type TrainSettings,
  trainSettings,
} from "./train-config.ts";
import type { TrainingFlags } from "./train-options.ts";

export interface DistillFlags extends CommonOptions, TrainFlags, TrainingFlags {
  readonly student: string;
  readonly init?: "fresh" | "teacher";
  readonly at?: string | true;
  readonly kd?: string | true;
  readonly hint?: number;
  readonly points?: readonly string[];
  readonly control?: boolean;
  readonly int8?: boolean;
  readonly shape?: readonly string[];
  readonly out: string;
}

/** What the student learns from. */
export type DistillationLoss = Extract<LossConfig, { kind: "distillation" }>;

export interface DistillSettings {
  /** Of the student's training; its model, loss and folder are filled in later. */
  readonly train: TrainSettings;
  readonly loss: DistillationLoss;
  readonly shapes: Readonly<Record<string, readonly number[]>>;
}

function positive(text: string, where: string, most = Number.POSITIVE_INFINITY): number {
  const n = Number(text);
  if (text.trim() !== "" && n > 0 && n <= most) return n;
  const want = Number.isFinite(most) ? `a number above 0 and at most ${most}` : "a number above 0";
  throw new UserError("E_ARGUMENT", `expected ${want}, got '${text}'`, { where });
}

/** "T=4,alpha=0.9", either alone, or true for both as usual. */
export function softened(text: string | true): { temperature: number; alpha: number } {
  const found = { temperature: 4, alpha: 0.9 };
  if (text === true) return found;
  for (const part of text.split(",")) {
    const [, key, value] = /^(T|alpha)=(.+)$/.exec(part.trim()) ?? [];
    if (key === "T") found.temperature = positive(value!, "--kd T");
    else if (key === "alpha") found.alpha = positive(value!, "--kd alpha", 1);
    else {
      throw new UserError("E_ARGUMENT", `'${part}' is neither T=... nor alpha=...`, {
        where: "--kd",
        hint: "for example --kd T=4,alpha=0.9",
      });
    }
  }
  return found;
}

/** "name" for both networks, or "student=teacher". */
function pointNames(text: string): PointNames {
  const [student = "", teacher] = text.split("=");
  return teacher === undefined ? student : { student, teacher };
}

/** The loss that the flags ask for; without any, softened outputs. */
export function lossOf(teacher: string, flags: DistillFlags): DistillationLoss {
  const { at, hint, points } = flags;
  const kd = flags.kd ?? (at === undefined && hint === undefined ? true : undefined);
  const beta = at === undefined ? 0 : at === true ? 1000 : positive(at, "--at");
  if (points !== undefined && beta === 0 && !hint) {
    throw new UserError("E_ARGUMENT", "places are compared by attention or hints only", {
      where: "--points",
      hint: "give --at or --hint too",
    });
  }
  return {
    ...{ kind: "distillation", teacher: resolve(teacher) },
    ...(kd !== undefined && softened(kd)),
    ...(beta > 0 && { beta }),
    ...(hint !== undefined && hint > 0 && { hint }),
    ...(points !== undefined && { points: points.map(pointNames) }),
  };
}

type Plain = Readonly<Record<string, unknown>>;

const asObject = (value: unknown): Plain =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Plain) : {};

async function configOf({ config }: DistillFlags, io: Io): Promise<Plain> {
  if (config === undefined) return {};
  const found = await readConfigFile(config);
  if (asObject(found) !== found) checkTrainConfig(found, config);
  const { model, loss, out, ...rest } = asObject(found);
  const unused = Object.entries({ model, loss, out }).flatMap(([k, v]) =>
    v === undefined ? [] : k,
  );
  if (unused.length > 0) {
    io.note(
      `note: ${config}: ${unused.join(", ")} not used; --student, --at, --kd and --out say it`,
    );
  }
  if (rest["quantize"] === undefined) return rest;
  throw new UserError("E_CONFIG", "quantize: students are trained in float", {
    where: config,
    hint: "leave it out and give --int8, or train on with tersor train",
  });
}

/** Highest rates: of fresh weights, and of weights that know something. */
const RATES = { fresh: 0.1, trained: 0.02 };

/**
 * The settings but for the student. `fresh`: it starts from fresh weights. Throws UserError E_CONFIG or E_ARGUMENT
 * that says what is missing or wrong.
 */
export async function distillSettings(
  teacher: string,
  flags: DistillFlags,
  fresh: boolean,
  io: Io,
): Promise<DistillSettings> {
  const given = await configOf(flags, io);
  const data = asObject(given["data"]);
  const { data: path, evalData, batch, rate } = flags;
  if (path === undefined && data["train"] === undefined) {
    throw new UserError("E_ARGUMENT", "training data is missing", {
      where: "--data",
      hint: `for example: tersor distill ${teacher} --student blocks=G(4) --data train.parquet --out student`,
    });
  }
  const merged = {
    optimizer: { kind: "nesterov", decay: 5e-4 },
    epochs: 10,
    schedule: { kind: "one-cycle", rate: fresh ? RATES.fresh : RATES.trained },
    ...given,
    model: { file: resolve(teacher) },
    data: {
      batch: 128,
      ...data,
      ...(batch !== undefined && { batch }),
      ...(path !== undefined && { train: resolve(path) }),
      ...(evalData !== undefined && { eval: resolve(evalData) }),
    },
    ...(rate !== undefined && {
      schedule: { ...asObject(given["schedule"] ?? { kind: "one-cycle" }), rate },
    }),
  };
  const found = checkTrainConfig(merged, flags.config ?? "tersor distill");
  const folder = flags.config === undefined ? "." : dirname(flags.config);
  const { shapes = {} } = loadOptions(teacher, flags);
  const bound = Object.keys(shapes).length > 0 && { shapes };
  return {
    train: trainSettings(found, folder, { ...flags, out: join(flags.out, "student") }),
    loss: { ...lossOf(teacher, flags), ...bound },
    shapes,
  };
}
