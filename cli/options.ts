/** @file Flags that commands share, and their values. */
import { basename } from "node:path";
import { type Command, InvalidArgumentError, Option } from "commander";
import { parseNpy } from "../src/data/npy.ts";
import { inFile, openModel, readBytes } from "../src/node.ts";
import { type Outline, type OutlineInput, outlineOf } from "../src/outline.ts";
import type { LoadedModel, LoadOptions } from "../src/pipeline.ts";
import { type Tensor, tensorOf } from "../src/tensor/tensor.ts";
import { UserError } from "../src/util/errors.ts";
import { product } from "../src/util/math.ts";
import type { Io } from "./io.ts";

/** A whole number of at least `least`. */
export const wholeNumber =
  (least: number) =>
  (text: string): number => {
    const n = Number(text);
    if (text.trim() === "" || !Number.isInteger(n) || n < least) {
      throw new InvalidArgumentError(`expected a whole number of at least ${least}`);
    }
    return n;
  };

/** A finite number of at least `least`. */
export const realNumber =
  (least = Number.NEGATIVE_INFINITY) =>
  (text: string): number => {
    const n = Number(text);
    if (text.trim() !== "" && Number.isFinite(n) && n >= least) return n;
    throw new InvalidArgumentError(
      least === Number.NEGATIVE_INFINITY
        ? "expected a number"
        : `expected a number of at least ${least}`,
    );
  };

/** Numbers separated by commas. */
export const numberList = (text: string): number[] => text.split(",").map(realNumber());

export const collect = (text: string, before: readonly string[] = []): string[] => [
  ...before,
  text,
];

/** --json, --verbose, --quiet, --seed. */
export const withCommon = (command: Command): Command =>
  command
    .option("--json", "print one JSON object instead of tables")
    .option("--verbose", "say more; show stack traces of internal errors")
    .option("--quiet", "print results only")
    .addOption(
      new Option("--seed <n>", "seed of everything random, default 1").argParser(wholeNumber(0)),
    );

export interface ModelOptions {
  readonly shape?: readonly string[];
  readonly fix?: readonly string[];
}

/** --shape and --fix. */
export const withModel = (command: Command): Command =>
  command
    .option("--shape <name=dims>", "shape of an input, for example x=1,3,224,224", collect)
    .option("--fix <name=value>", "freeze an input to a number or an .npy file", collect);

/** "name=text" at the last "=" that is followed by a possible value. */
function pair(text: string, flag: string): readonly [string, string] {
  const at = text.lastIndexOf("=");
  if (at <= 0) {
    throw new UserError("E_ARGUMENT", `'${text}' is not name=value`, { where: flag });
  }
  return [text.slice(0, at), text.slice(at + 1)];
}

function dims(text: string): number[] {
  const shape = text.split(/[,x]/).map(Number);
  if (text !== "" && shape.every((d) => Number.isInteger(d) && d >= 0)) return shape;
  throw new UserError("E_ARGUMENT", `'${text}' is not a shape`, {
    where: "--shape",
    hint: "write it as 1,3,224,224",
  });
}

function shapesOf(texts: readonly string[], outline: Outline): Record<string, number[]> {
  const shapes: Record<string, number[]> = {};
  for (const text of texts) {
    if (text.includes("=")) {
      const [name, value] = pair(text, "--shape");
      shapes[name] = dims(value);
      continue;
    }
    const [only] = outline.inputs;
    if (only === undefined || outline.inputs.length > 1) {
      throw new UserError("E_ARGUMENT", `the model has ${outline.inputs.length} inputs`, {
        where: "--shape",
        hint: `name one of them: ${outline.inputs.map((i) => i.name).join(", ")}`,
      });
    }
    shapes[only.name] = dims(text);
  }
  return shapes;
}

function fixedTensor(value: string, input: OutlineInput, given?: readonly number[]): Tensor {
  if (value.endsWith(".npy")) return parseNpy(readBytes(value, "array"), value);
  const values = value.split(",").map(Number);
  if (value === "" || values.some(Number.isNaN)) {
    throw new UserError("E_ARGUMENT", `'${value}' is neither a number nor an .npy file`, {
      where: `--fix ${input.name}`,
    });
  }
  const shape = given ?? (input.shape ?? []).map((d) => d ?? (values.length > 1 ? -1 : 1));
  const filled = shape.map((d) => (d === -1 ? values.length : d));
  const n = product(filled);
  if (values.length !== 1 && values.length !== n) {
    throw new UserError("E_ARGUMENT", `${values.length} values for shape [${filled}]`, {
      where: `--fix ${input.name}`,
    });
  }
  const all = Array.from({ length: n }, (_, i) => values[values.length === 1 ? 0 : i]!);
  return tensorOf(input.dtype ?? "f32", filled, all);
}

/** The load options that --shape and --fix ask for. */
export function loadOptions(path: string, options: ModelOptions): LoadOptions {
  if (options.shape === undefined && options.fix === undefined) return {};
  const outline = inFile(path, () => outlineOf(readBytes(path, "model")));
  const shapes = shapesOf(options.shape ?? [], outline);
  const fix: Record<string, Tensor> = {};
  for (const text of options.fix ?? []) {
    const [name, value] = pair(text, "--fix");
    const input = outline.inputs.find((i) => i.name === name);
    if (input === undefined) {
      throw new UserError("E_ARGUMENT", `the model has no input '${name}'`, {
        where: "--fix",
        hint: `its inputs: ${outline.inputs.map((i) => i.name).join(", ")}`,
      });
    }
    fix[name] = fixedTensor(value, input, shapes[name]);
    delete shapes[name];
  }
  return { shapes, fix };
}

/** Imports a model; with --verbose, tells of choices made on the way. */
export function openForCommand(path: string, options: ModelOptions, io: Io): LoadedModel {
  const loaded = openModel(path, loadOptions(path, options));
  for (const { message, where } of io.verbose ? loaded.diagnostics : []) {
    io.note(`note: ${where === undefined ? "" : `${where}: `}${message}`);
  }
  return loaded;
}

/** The file name without folder and extension. */
export const stem = (path: string): string => basename(path).replace(/\.[^.]+$/, "");
