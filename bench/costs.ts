/**
 * @file The cost model's data: `node bench/costs.ts measure MODEL...` times every candidate of bench models
 * and training steps (name or name:dtype) and adds that to devices/; --target native does so for C on this machine.
 * A later time replaces an earlier one, with --least only where it is shorter (for machines that are not quiet).
 * With --relative, on another machine than the file is of, times are brought to its level, and new ones of
 * sparse layers and layouts are added.
 * `node bench/costs.ts fit` writes src/select/coefficients.ts.
 */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { thisDevice } from "../cli/selection-options.ts";
import { openTarget, type Target, type TargetName } from "../cli/target.ts";
import type { Graph } from "../src/graph/graph.ts";
import { cleanGraph, targetGraph } from "../src/pipeline.ts";
import { measureCandidates } from "../src/profile/measure.ts";
import { coefficientsFor, groupsOf } from "../src/select/costs.ts";
import { fitCoefficients } from "../src/select/fit.ts";
import {
  type DeviceProfile,
  measuredTimes,
  mergeEntries,
  type ProfileEntry,
  parseProfile,
  printProfile,
} from "../src/select/profile.ts";
import { crossEntropy } from "../src/train/losses.ts";
import { lenet5 } from "../src/train/models/lenet5.ts";
import { mobilenetV2 } from "../src/train/models/mobilenet-v2.ts";
import { resnet8 } from "../src/train/models/resnet8.ts";
import { sgd } from "../src/train/optimizers.ts";
import { trainingStep } from "../src/train/step.ts";
import { median } from "../src/util/math.ts";
import type { Found } from "./models/files.ts";
import { DTYPES, MODELS, type ModelDType } from "./models/index.ts";
import { prunedWeights } from "./models/sparse.ts";

const ROOT = resolve(import.meta.dirname, "..");
const DEVICES = join(ROOT, "devices");
const COEFFICIENTS = join(ROOT, "src/select/coefficients.ts");

const pathOf = (target: string): string => join(DEVICES, `${target}.json`);

const read = (path: string): DeviceProfile => parseProfile(readFileSync(path, "utf8"), path);

const BATCH = 32;
const CLASSES = 10;

const stepOf = (model: Graph): Graph =>
  trainingStep(model, {
    optimizer: sgd(),
    loss: ({ g, outputs, input }) =>
      crossEntropy(g, Object.values(outputs)[0]!, input("target", [BATCH, CLASSES])),
  }).graph;

const sparse =
  (zeros: number, side = 32): (() => Graph) =>
  () =>
    cleanGraph(prunedWeights(mobilenetV2({ width: 0.5, side }), zeros));

/** Sparse networks and training steps, f32 only. */
const STEPS: Readonly<Record<string, () => Graph>> = {
  "mobilenet-v2-50": sparse(0.5),
  "mobilenet-v2-80": sparse(0.8),
  "mobilenet-v2-90": sparse(0.9),
  "mobilenet-v2-90-96": sparse(0.9, 96),
  "train-resnet8": () => stepOf(resnet8({ batch: BATCH, classes: CLASSES })),
  "train-lenet5": () => stepOf(lenet5({ batch: BATCH, classes: CLASSES })),
};

async function load(name: string, dtype: ModelDType): Promise<Found> {
  const step = STEPS[name];
  if (step !== undefined) {
    return dtype === "f32" ? { graph: step() } : { missing: "f32 only" };
  }
  const model = MODELS.find((m) => m.name === name);
  const names = [...MODELS.map((m) => m.name), ...Object.keys(STEPS)];
  if (model === undefined) throw new Error(`no model '${name}': ${names}`);
  return model.load(dtype);
}

async function measure(
  { caps, open, compiler }: Target,
  name: string,
  dtype: ModelDType,
  budgetMs: number,
): Promise<void> {
  const found = await load(name, dtype);
  if ("missing" in found) {
    console.log(`${name} ${dtype}: not here (${found.missing})`);
    return;
  }
  const start = performance.now();
  const entries = await measureCandidates(targetGraph(found.graph), {
    caps,
    coefficients: coefficientsFor(caps.name),
    budgetMs,
    open,
  });
  const path = pathOf(caps.name);
  const old = existsSync(path) ? read(path) : null;
  const before = old?.entries ?? [];
  const known = measuredTimes(before);
  const least = ({ key, ns }: ProfileEntry): number => Math.min(ns, known.get(key) ?? ns);
  const kept = values.relative
    ? brought(entries, before)
    : values.least
      ? entries.map((e) => ({ ...e, ns: least(e) }))
      : entries;
  const device = values.relative && old !== null ? old.device : thisDevice(caps.name, compiler);
  writeFileSync(path, printProfile({ device, entries: mergeEntries(before, kept) }));
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  console.log(`${name} ${dtype}: ${entries.length} candidates in ${seconds} s`);
}

/** Groups that tell the level of a machine: dense products; and those that only sparse networks have enough of. */
const LEVEL = /\/igemm\//;
const SPARSE_ONLY = /\/(spmm|blocks)|@nchw|^relayout/;

/** Times as they would be on the machine of `before`, by what dense products take there; without what is known. */
function brought(
  entries: readonly ProfileEntry[],
  before: readonly ProfileEntry[],
): ProfileEntry[] {
  const table = fitCoefficients(before);
  const logs = entries.flatMap(({ group, ns, macs, bytes }) => {
    const law = LEVEL.test(group) ? table[group] : undefined;
    return law === undefined ? [] : [Math.log(ns / (law[0] * macs + law[1] * bytes + law[2]))];
  });
  const factor = Math.exp(median(logs));
  console.log(
    `this machine takes ${factor.toFixed(2)} times as long (${logs.length} dense products)`,
  );
  const known = measuredTimes(before);
  return entries.flatMap((e) =>
    known.has(e.key) || !SPARSE_ONLY.test(e.group) ? [] : [{ ...e, ns: e.ns / factor }],
  );
}

/** Relative errors of the fit, by group: how far the model is off. */
function report(entries: readonly ProfileEntry[]): void {
  const table = fitCoefficients(entries);
  const errors = new Map<string, number[]>();
  for (const e of entries) {
    const name = groupsOf(e.group).find((n) => table[n] !== undefined)!;
    const [macs, bytes, call] = table[name]!;
    const predicted = macs * e.macs + bytes * e.bytes + call;
    errors.set(e.group, [...(errors.get(e.group) ?? []), Math.abs(Math.log(predicted / e.ns))]);
  }
  for (const [group, logs] of [...errors].sort()) {
    const mean = Math.exp(logs.reduce((a, b) => a + b, 0) / logs.length);
    const most = Math.exp(Math.max(...logs));
    console.log(
      `${group.padEnd(36)} ${String(logs.length).padStart(4)}  off by ${mean.toFixed(2)}x, at most ${most.toFixed(2)}x  [${table[group]}]`,
    );
  }
}

function fit(): void {
  const profiles = readdirSync(DEVICES)
    .filter((f) => f.endsWith(".json"))
    .sort()
    .map((f) => read(join(DEVICES, f)));
  const tables = profiles.map(({ device, entries }) => {
    console.log(`${device.target} on ${device.cpu}, ${device.engine}`);
    report(entries);
    return [device.target, fitCoefficients(entries)] as const;
  });
  const text = `/** @file Coefficients of the cost model by target. Written by bench/costs.ts from devices/*.json. */
import type { CoefficientTable } from "./costs.ts";

export const COEFFICIENTS: Readonly<Record<string, CoefficientTable>> = ${JSON.stringify(Object.fromEntries(tables))};
`;
  writeFileSync(COEFFICIENTS, text);
  execFileSync("npx", ["biome", "check", "--write", COEFFICIENTS], { cwd: ROOT });
}

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    budget: { type: "string", default: "500" },
    target: { type: "string", default: "wasm" },
    least: { type: "boolean", default: false },
    relative: { type: "boolean", default: false },
  },
});
const [command, ...models] = positionals;
if (command === "fit") fit();
else if (command === "measure") {
  const target = await openTarget(values.target as TargetName);
  for (const text of models) {
    const [name = "", only] = text.split(":");
    for (const dtype of DTYPES) {
      if (only === undefined || only === dtype)
        await measure(target, name, dtype, Number(values.budget));
    }
  }
} else
  console.log(
    "node bench/costs.ts measure MODEL[:DTYPE]... [--target wasm|native] [--budget MS] [--least] [--relative] | fit",
  );
