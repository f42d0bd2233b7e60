/** @file Artefacts as their users load them, and the mean time of a real row, model by model in turn. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";
import type { MeanLatency } from "../src/report/exits.ts";
import type { ModelArray } from "../src/targets/wasm/model.ts";
import type { BatchSource } from "../src/train/batches.ts";
import { median } from "../src/util/math.ts";
import { writeFiles } from "./files.ts";

/** Inputs of one row by name. */
export type Row = Readonly<Record<string, ModelArray>>;
export type Files = ReadonlyMap<string, Uint8Array | string>;

/** A loaded artefact; `at`: the threshold, of one with exits. */
export interface LoadedArtefact {
  run(row: Row, at?: number): unknown;
}

/** Loads artefacts from a folder of their own, gives them to `use`, and removes it. */
export async function withArtefacts<T>(
  all: readonly Files[],
  use: (loaded: readonly LoadedArtefact[]) => Promise<T>,
): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "tersor-exits-"));
  try {
    writeFiles(folder, new Map([["package.json", '{ "type": "module" }']]));
    const loaded: LoadedArtefact[] = [];
    for (const [i, files] of all.entries()) {
      const own = join(folder, String(i));
      writeFiles(own, files);
      const library = (await import(pathToFileURL(join(own, "model.js")).href)) as {
        load(): Promise<LoadedArtefact>;
      };
      loaded.push(await library.load());
    }
    return await use(loaded);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Bytes of the modules of an artefact. */
export function moduleBytes(files: Files): { readonly total: number; readonly gzip: number } {
  let [total, gzip] = [0, 0];
  for (const [name, content] of files) {
    if (!name.endsWith(".wasm")) continue;
    total += content.length;
    gzip += gzipSync(content, { level: 9 }).length;
  }
  return { total, gzip };
}

const PASSES = 7;
/** Of one pass of one model, about. */
const PASS_MS = 400;
const FEWEST_ROWS = 50;
const MOST_ROWS = 2000;

/** At most `count` rows of batches of one, evenly spaced. */
export async function rowsOf(source: BatchSource, count = MOST_ROWS): Promise<Row[]> {
  const of = source.batchesPerEpoch;
  const taken = Math.min(of, count);
  const rows: Row[] = [];
  for (let i = 0; i < taken; i++) {
    const { feeds } = await source.batch(Math.floor((i * of) / taken));
    rows.push(Object.fromEntries(Object.entries(feeds).map(([k, v]) => [k, v.slice()])));
  }
  return rows;
}

export interface MeanLatencies {
  /** Rows in a pass. */
  readonly rows: number;
  readonly all: readonly MeanLatency[];
}

/** Mean times of a row, in turn pass by pass, so that drift hits all alike. The slowest must not wait too long. */
export async function meanLatencies(
  runs: readonly ((row: Row) => void)[],
  rows: readonly Row[],
): Promise<MeanLatencies> {
  const pass = (run: (row: Row) => void, some: readonly Row[]): number => {
    const start = performance.now();
    for (const row of some) run(row);
    return (performance.now() - start) / some.length;
  };
  // Engines compile what runs often in the background.
  const warm = rows.slice(0, FEWEST_ROWS);
  for (const run of runs) pass(run, warm);
  const slowest = Math.max(...runs.map((run) => pass(run, warm)));
  const wanted = Math.max(FEWEST_ROWS, Math.ceil(PASS_MS / Math.max(slowest, 1e-4)));
  const count = Math.min(rows.length, wanted);
  const some = Array.from(
    { length: count },
    (_, i) => rows[Math.floor((i * rows.length) / count)]!,
  );
  const means = runs.map((): number[] => []);
  for (let i = 0; i < PASSES; i++) {
    for (let k = 0; k < runs.length; k++) {
      const at = (k + i) % runs.length;
      means[at]!.push(pass(runs[at]!, some));
      await new Promise((done) => setTimeout(done, 0));
    }
  }
  const all = means.map((m) => ({
    meanMs: median(m),
    lowMs: Math.min(...m),
    highMs: Math.max(...m),
  }));
  return { rows: count, all };
}
