/** @file Finds, loads and checks the configuration file of `tersor optimize`. */
import { existsSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { TersorConfig } from "../src/config.ts";
import { readBytes } from "../src/node.ts";
import { UserError } from "../src/util/errors.ts";

const NAMES = ["ts", "mts", "js", "mjs", "json"].map((e) => `tersor.config.${e}`);

export interface LoadedConfig {
  /** Null: there is none. */
  readonly path: string | null;
  /** Paths in it are absolute. */
  readonly config: TersorConfig;
}

/** The configuration at `asked`, or tersor.config.* of the current folder. */
export async function loadConfig(asked: string | undefined): Promise<LoadedConfig> {
  const path = asked ?? NAMES.find((name) => existsSync(name));
  if (path === undefined) return { path: null, config: {} };
  const config = checked(await readConfigFile(path), path);
  const beside = (p: string): string => resolve(dirname(path), p);
  return {
    path,
    config: {
      ...config,
      ...(config.data === undefined ? {} : { data: beside(config.data) }),
      ...(config.eval === undefined ? {} : { eval: beside(config.eval) }),
    },
  };
}

/** What a .ts, .mjs, .js or .json file exports as its default. Throws UserError E_CONFIG. */
export async function readConfigFile(path: string): Promise<unknown> {
  if (!existsSync(path)) {
    throw new UserError("E_CONFIG", "no such configuration file", { where: path });
  }
  return path.endsWith(".json") ? parseJson(path) : await importDefault(path);
}

function parseJson(path: string): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(readBytes(path)));
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError("E_CONFIG", `not JSON: ${(error as Error).message}`, { where: path });
  }
}

async function importDefault(path: string): Promise<unknown> {
  const typed = /\.[mc]?ts$/.test(path);
  const { typescript } = process.features as { readonly typescript?: string | false };
  if (typed && !typescript) {
    throw new UserError("E_CONFIG", `Node ${process.version} cannot load TypeScript`, {
      where: path,
      hint: "use Node 22.18 or later, or write it as .mjs or .json",
    });
  }
  try {
    const module = (await import(pathToFileURL(resolve(path)).href)) as { default?: unknown };
    return module.default;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const missing = /Cannot find package 'tersor'/.test(message);
    throw new UserError("E_CONFIG", `cannot be loaded: ${message.split("\n")[0]}`, {
      where: path,
      hint: missing
        ? "run npm install tersor beside it, or export a plain object"
        : "check it with node",
    });
  }
}

type Check = (value: unknown) => boolean;
const isNumber: Check = (v) => typeof v === "number" && Number.isFinite(v);
const isCount: Check = (v) => Number.isInteger(v) && (v as number) >= 0;
const isText: Check = (v) => typeof v === "string";
const isTexts: Check = (v) => Array.isArray(v) && v.every(isText);
const isNumbers: Check = (v) => isNumber(v) || (Array.isArray(v) && v.every(isNumber));
const oneOf =
  (...options: readonly unknown[]): Check =>
  (v) =>
    options.includes(v);

const PREPROCESS: Readonly<Record<string, Check>> = {
  resize: oneOf("stretch", "fit-height"),
  channelOrder: oneOf("rgb", "bgr"),
  layout: oneOf("nchw", "nhwc"),
  scale: isNumber,
  mean: isNumbers,
  std: isNumbers,
  dtype: isText,
  quantScale: isNumber,
  zeroPoint: isNumber,
};

const FIELDS: Readonly<Record<string, Check>> = {
  data: isText,
  eval: isText,
  column: isText,
  labelColumn: (v) => v === null || isText(v),
  preprocess: (v) => typeof v === "object" && v !== null,
  metric: oneOf("top1", "agreement", "mse"),
  maxDrop: isNumber,
  maxBytes: isNumber,
  maxLatencyMs: isNumber,
  calibrationRows: isCount,
  evaluationRows: isCount,
  recipes: isTexts,
  objective: oneOf("size", "latency"),
  seed: isCount,
};

function checkFields(value: object, fields: Readonly<Record<string, Check>>, where: string): void {
  for (const [key, entry] of Object.entries(value)) {
    const check = Object.hasOwn(fields, key) ? fields[key] : undefined;
    if (check === undefined) {
      throw new UserError("E_CONFIG", `unknown setting '${key}'`, {
        where,
        hint: `known: ${Object.keys(fields).join(", ")}`,
      });
    }
    if (entry !== undefined && !check(entry)) {
      throw new UserError("E_CONFIG", `'${key}' cannot be ${JSON.stringify(entry)}`, { where });
    }
  }
}

function checked(value: unknown, where: string): TersorConfig {
  if (typeof value !== "object" || value === null) {
    throw new UserError("E_CONFIG", "exports no configuration", {
      where,
      hint: "write export default { … }",
    });
  }
  checkFields(value, FIELDS, where);
  const { preprocess } = value as TersorConfig;
  if (preprocess !== undefined) checkFields(preprocess, PREPROCESS, `${where}: preprocess`);
  return value as TersorConfig;
}
