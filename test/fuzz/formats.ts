/**
 * @file Feeds damaged model files to the readers: each must load or be refused with a UserError,
 * within two seconds and bounded memory. Runs in a worker so that an endless loop is seen.
 *
 *   npm run fuzz -- [--cases 10000] [--seed 1] [--format onnx|tflite] [--json]
 *                   [--case N --format F [--write FILE]]   repeats one case, or writes its file
 */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { UserError } from "../../src/util/errors.ts";
import { makeRng } from "../../src/util/rng.ts";
import { FORMATS } from "./seeds.ts";

const CASE_MS = 2000;
const HANG_MS = 15_000;
const RSS_BYTES = 2 ** 30;

interface Failure {
  readonly index: number;
  readonly message: string;
}
interface Summary {
  readonly format: string;
  readonly seed: number;
  readonly cases: number;
  readonly seeds: number;
  readonly loaded: number;
  readonly refused: number;
  readonly slowestMs: number;
  readonly rssMiB: number;
  readonly failures: readonly Failure[];
  readonly failureCount: number;
  readonly seconds: number;
}
interface Task {
  readonly format: string;
  readonly seed: number;
  readonly from: number;
  readonly to: number;
  /** [case at work]: read by the main thread. */
  readonly progress: SharedArrayBuffer;
}

const caseRng = (seed: number, index: number) =>
  makeRng((seed * 0x9e3779b1 + index * 0x85ebca6b) >>> 0);

/** Memory in use after a full collection where the engine lets us ask for one. */
const rssBytes = (): number => process.memoryUsage().rss;

function runCases(task: Task): Summary {
  const start = performance.now();
  const format = FORMATS[task.format]!();
  const progress = new Int32Array(task.progress);
  const failures: Failure[] = [];
  let [loaded, refused, failureCount, slowestMs, peak] = [0, 0, 0, 0, 0];
  const fail = (index: number, message: string): void => {
    failureCount++;
    if (failures.length < 20) failures.push({ index, message });
  };
  for (let index = task.from; index < task.to; index++) {
    Atomics.store(progress, 0, index);
    const bytes = format.make(caseRng(task.seed, index));
    const before = performance.now();
    try {
      format.load(bytes);
      loaded++;
    } catch (error) {
      if (error instanceof UserError) refused++;
      else fail(index, String((error as Error).stack ?? error));
    }
    const ms = performance.now() - before;
    slowestMs = Math.max(slowestMs, ms);
    if (ms > CASE_MS) fail(index, `took ${ms.toFixed(0)} ms`);
    if (index % 64 === 0) {
      const rss = rssBytes();
      if (rss > RSS_BYTES && peak <= RSS_BYTES)
        fail(index, `${(rss / 2 ** 20).toFixed(0)} MiB in use`);
      peak = Math.max(peak, rss);
    }
  }
  return {
    format: task.format,
    seed: task.seed,
    cases: task.to - task.from,
    seeds: format.seeds,
    loaded,
    refused,
    slowestMs,
    rssMiB: Math.round(peak / 2 ** 20),
    failures,
    failureCount,
    seconds: (performance.now() - start) / 1000,
  };
}

/** Runs the task in a worker; a case that does not end becomes a failure. */
function supervised(task: Task): Promise<Summary | Failure> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: task });
    const progress = new Int32Array(task.progress);
    let [last, since] = [-2, performance.now()];
    const watch = setInterval(() => {
      const now = Atomics.load(progress, 0);
      if (now !== last) [last, since] = [now, performance.now()];
      if (now < 0 || performance.now() - since < HANG_MS) return;
      clearInterval(watch);
      void worker.terminate();
      resolve({ index: now, message: "does not end" });
    }, 500);
    worker.once("message", (summary: Summary) => {
      clearInterval(watch);
      resolve(summary);
    });
    worker.once("error", (error) => {
      clearInterval(watch);
      reject(error);
    });
  });
}

function print(s: Summary): void {
  console.log(
    `${s.format}: ${s.cases} cases from ${s.seeds} seeds (seed ${s.seed}) in ${s.seconds.toFixed(1)} s: ` +
      `${s.loaded} loaded, ${s.refused} refused, ${s.failureCount} failed; ` +
      `slowest ${s.slowestMs.toFixed(0)} ms, ${s.rssMiB} MiB`,
  );
  for (const f of s.failures) {
    console.log(`  case ${f.index}: ${f.message}`);
    console.log(`    npm run fuzz -- --format ${s.format} --seed ${s.seed} --case ${f.index}`);
  }
}

async function main(): Promise<number> {
  const { values: flags } = parseArgs({
    options: {
      cases: { type: "string", default: "10000" },
      seed: { type: "string", default: "1" },
      format: { type: "string" },
      case: { type: "string" },
      write: { type: "string" },
      json: { type: "boolean", default: false },
    },
  });
  const formats = flags.format === undefined ? Object.keys(FORMATS) : [flags.format];
  const unknown = formats.find((f) => !Object.hasOwn(FORMATS, f));
  if (unknown !== undefined) {
    console.error(`no format '${unknown}': give ${Object.keys(FORMATS).join(" or ")}`);
    return 2;
  }
  const seed = Number(flags.seed);
  if (flags.write !== undefined && flags.case !== undefined) {
    const bytes = FORMATS[formats[0]!]!().make(caseRng(seed, Number(flags.case)));
    writeFileSync(flags.write, bytes);
    return 0;
  }
  const from = Number(flags.case ?? 0);
  const to = flags.case === undefined ? Number(flags.cases) : from + 1;
  const results: Summary[] = [];
  for (const format of formats) {
    const progress = new SharedArrayBuffer(4);
    new Int32Array(progress)[0] = -1;
    const result = await supervised({ format, seed, from, to, progress });
    if ("index" in result) {
      console.error(`${format}: case ${result.index} ${result.message} (seed ${seed})`);
      return 1;
    }
    results.push(result);
  }
  if (flags.json) console.log(JSON.stringify(results, null, 2));
  else results.forEach(print);
  return results.some((r) => r.failureCount > 0) ? 1 : 0;
}

if (isMainThread) process.exitCode = await main();
else parentPort!.postMessage(runCases(workerData as Task));
