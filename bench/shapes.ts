/**
 * @file Times every primitive on the real layers of the benchmark's models (bench/shapes/*.txt), sorted, the
 * selector's pick marked. Odd rounds are what the selector knows, as from `tersor profile`; even rounds judge it.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { machineInfo } from "../cli/measure.ts";
import { thisDevice } from "../cli/selection-options.ts";
import { openTarget, TARGETS, type Target, type TargetName } from "../cli/target.ts";
import type { Candidate } from "../src/primitives/primitive.ts";
import { groupOf, keyOf } from "../src/select/costs.ts";
import { mergeEntries, type ProfileEntry, printProfile } from "../src/select/profile.ts";
import { median } from "../src/util/math.ts";
import { layerGraph } from "./layer-text.ts";
import { geometricMean } from "./results.ts";
import { HOPELESS, measuredPick, modelPick, type TimedLayer, timeLayer } from "./time-layer.ts";

const SHAPES = fileURLToPath(new URL("./shapes/", import.meta.url));

const USAGE = `npm run bench:shapes -- [options] [file of bench/shapes without .txt ...]
  --target t        ${TARGETS.join(" or ")}; default wasm
  --op name         only layers of this operator
  --limit n         only the first n layers
  --assert          fails where the selector's pick is slower than the best by more than the tolerance
  --tolerance p     in percent; default 5
  --rounds n        default 6
  --slice ms        time for a candidate in one round; default 10
  --out file        JSON, written after each layer; default out/bench/shapes-<target>.json
  --profile file    writes the times as a device profile, for --profile of tersor compile and bench/costs.ts`;

/** Layers by their line, with the files they occur in. */
function readShapes(names: readonly string[]): Map<string, string[]> {
  const all = readdirSync(SHAPES).filter((f) => f.endsWith(".txt"));
  const files = names.length === 0 ? all : names.map((n) => `${n}.txt`);
  const layers = new Map<string, string[]>();
  for (const file of files.sort()) {
    if (!all.includes(file)) throw new Error(`bench/shapes has no ${file}`);
    for (const text of readFileSync(join(SHAPES, file), "utf8").split("\n")) {
      const line = text.replace(/^\d+x /, "");
      if (line !== "") layers.set(line, [...(layers.get(line) ?? []), file.slice(0, -4)]);
    }
  }
  return layers;
}

interface CandidateReport {
  readonly name: string;
  readonly family: string;
  readonly p50Ns: number;
  readonly leastNs: number;
  readonly mostNs: number;
  /** Multiply-accumulates of the layer per nanosecond. */
  readonly macsPerNs: number;
}

interface LayerReport {
  readonly line: string;
  readonly files: readonly string[];
  /** Fastest first; those that were too slow to measure are left out. */
  readonly candidates: readonly CandidateReport[];
  /** How many were too slow to measure. */
  readonly hopeless: number;
  readonly pick: string;
  /** Without any measurement on this machine. */
  readonly modelPick: string;
  /** How much longer the picks take than the best, by the rounds that the selector has not seen. */
  readonly excess: number;
  readonly modelExcess: number;
}

/** Differences up to this are the clock's, not the candidates'. */
const RESOLUTION_NS = 100;

const least = (numbers: readonly number[]): number => Math.min(...numbers);
const half = (all: readonly number[], parity: number): number[] =>
  all.filter((_, i) => i % 2 === parity);

function reportOf(
  line: string,
  files: readonly string[],
  layer: TimedLayer,
  target: Target,
): LayerReport {
  const { choice } = layer;
  const timed = layer.candidates.filter((c) => c.roundsNs.length > 0);
  const known = new Map(
    layer.candidates.map((c) => [
      keyOf(choice, c.candidate),
      c.roundsNs.length > 0 ? least(half(c.roundsNs, 0)) : c.firstNs,
    ]),
  );
  const judged = new Map(
    layer.candidates.map((c) => [
      c.candidate,
      c.roundsNs.length > 0 ? least(half(c.roundsNs, 1)) : c.firstNs,
    ]),
  );
  const best = least([...judged.values()]);
  const excess = (c: Candidate): number =>
    judged.get(c)! - best <= RESOLUTION_NS ? 0 : judged.get(c)! / best - 1;
  const pick = measuredPick(choice, target, known);
  const model = modelPick(choice, target);
  const { op, attrs } = choice.node;
  const macs = op.cost?.(choice.ins, attrs, choice.outs).macs ?? 0;
  const candidates = timed.map(({ candidate: { name, family }, roundsNs }): CandidateReport => {
    const p50Ns = median(roundsNs);
    const leastNs = least(roundsNs);
    return {
      name,
      family,
      p50Ns,
      leastNs,
      mostNs: Math.max(...roundsNs),
      macsPerNs: macs / leastNs,
    };
  });
  return {
    line,
    files,
    candidates: candidates.sort((a, b) => a.leastNs - b.leastNs),
    hopeless: layer.candidates.length - timed.length,
    pick: pick.name,
    modelPick: model.name,
    excess: excess(pick),
    modelExcess: excess(model),
  };
}

const us = (ns: number): string => (ns / 1000).toFixed(2).padStart(10);

function print(layer: LayerReport): void {
  console.log(`\n${layer.line}\n  ${layer.files.join(", ")}`);
  for (const c of layer.candidates) {
    const spread = `${us(c.leastNs)}${us(c.p50Ns)}${us(c.mostNs)} us`;
    const rate = c.macsPerNs === 0 ? "" : `${(2 * c.macsPerNs).toFixed(1)} GOP/s`;
    const marks = [
      ...(c.name === layer.pick ? ["<--"] : []),
      ...(c.name === layer.modelPick ? ["<-- without a profile"] : []),
    ];
    console.log(`${spread} ${rate.padStart(14)}  ${c.name} ${marks.join(" ")}`.trimEnd());
  }
  if (layer.hopeless > 0)
    console.log(`  ${layer.hopeless} more, ${HOPELESS} times slower or worse`);
}

const percent = (x: number): string => `${(100 * x).toFixed(1)} %`;

/** How good the picks are over all layers; returns the layers whose pick is beyond the tolerance. */
function summarise(layers: readonly LayerReport[], tolerance: number): LayerReport[] {
  const told = (what: string, of: (l: LayerReport) => number): void => {
    const all = layers.map(of);
    const over = layers.filter((l) => of(l) > tolerance).length;
    console.log(
      `${what}: ${percent(geometricMean(all.map((x) => 1 + x)) - 1)} slower than the best on average, at most ${percent(Math.max(...all))}; ${over} of ${layers.length} beyond ${percent(tolerance)}`,
    );
  };
  console.log("");
  told("picked from measured times", (l) => l.excess);
  told("picked without a profile", (l) => l.modelExcess);
  return layers.filter((l) => l.excess > tolerance);
}

function entriesOf({ choice, candidates }: TimedLayer): ProfileEntry[] {
  return candidates
    .filter((c) => c.roundsNs.length > 0 && c.candidate.family !== "view")
    .map(({ candidate, roundsNs }) => ({
      key: keyOf(choice, candidate),
      group: groupOf(choice, candidate),
      ns: least(roundsNs),
      macs: Math.round(candidate.work.macs),
      bytes: Math.round(candidate.work.bytes),
    }));
}

function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

async function main(args: readonly string[]): Promise<void> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      target: { type: "string", default: "wasm" },
      op: { type: "string" },
      limit: { type: "string", default: "100000" },
      assert: { type: "boolean", default: false },
      tolerance: { type: "string", default: "5" },
      rounds: { type: "string", default: "6" },
      slice: { type: "string", default: "10" },
      out: { type: "string" },
      profile: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return;
  }
  const target = await openTarget(values.target as TargetName);
  const options = { target, rounds: Number(values.rounds), sliceMs: Number(values.slice) };
  const tolerance = Number(values.tolerance) / 100;
  const shapes = [...readShapes(positionals)]
    .filter(([line]) => values.op === undefined || line.includes(` = ${values.op}(`))
    .slice(0, Number(values.limit));
  const layers: LayerReport[] = [];
  let entries: ProfileEntry[] = [];
  const machine = machineInfo();
  const out = values.out ?? `out/bench/shapes-${values.target}.json`;
  for (const [line, files] of shapes) {
    const timed = await timeLayer(layerGraph(line), options);
    if (timed === null) continue;
    const layer = reportOf(line, files, timed, target);
    print(layer);
    layers.push(layer);
    entries = mergeEntries(entries, entriesOf(timed));
    write(out, `${JSON.stringify({ machine, target: values.target, layers }, null, 1)}\n`);
  }
  const slow = summarise(layers, tolerance);
  if (values.profile !== undefined) {
    write(values.profile, printProfile({ device: thisDevice(target.caps.name), entries }));
  }
  if (values.assert && slow.length > 0) {
    for (const l of slow) console.error(`${l.pick} is ${percent(l.excess)} slower: ${l.line}`);
    process.exitCode = 1;
  }
}

await main(process.argv.slice(2)).catch((error: unknown) => {
  console.error(`bench:shapes: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
});
