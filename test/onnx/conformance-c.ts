/**
 * @file The ONNX node tests through C, by one thread and by two: batches of cases become one executable each.
 * `node test/onnx/conformance-c.ts [--share x] [--filter text] [--data path] [--cpu name]`.
 */
import { setImmediate } from "node:timers/promises";
import { compile } from "../../src/pipeline.ts";
import { capsOfCpu } from "../../src/primitives/capabilities.ts";
import { type CpuName, cpuOf } from "../../src/targets/c/cpu.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { CC, type CJob, runC, STRICT } from "../support/c-run.ts";
import { ARCHIVE, type Case, readCases } from "./archive.ts";
import { type Engine, type Outcome, runCase } from "./case.ts";
import { skipReason } from "./skip.ts";

const BATCH = 60;

export interface ConformanceCOptions {
  /** The share of all cases to run, spread evenly; default 1. */
  readonly share?: number;
  /** Only cases whose name contains it. */
  readonly filter?: string;
  readonly data?: string;
  /** The processor to write for, which must be able to run it; default "portable". */
  readonly cpu?: CpuName;
}

export interface ConformanceC {
  readonly cases: number;
  readonly pass: number;
  readonly skip: number;
  readonly failures: readonly { readonly name: string; readonly reason: string }[];
}

interface Waiting {
  readonly job: CJob;
  readonly resolve: (results: readonly Tensor[]) => void;
  readonly reject: (error: unknown) => void;
}

/** Runs all jobs in one executable; when that fails, each in its own. */
async function runAll(waiting: readonly Waiting[], cpu: CpuName): Promise<void> {
  const flags = [...STRICT, "-O1", "-fno-math-errno", "-ffp-contract=off", ...cpuOf(cpu).flags];
  try {
    const jobs = waiting.map((w) => w.job);
    const results = await runC(jobs, flags, { threads: "all", cpu });
    waiting.forEach((w, i) => {
      w.resolve(results[i]!);
    });
  } catch (error) {
    if (waiting.length === 1) waiting[0]!.reject(error);
    else for (const w of waiting) await runAll([w], cpu);
  }
}

/** Outcomes of the compiled side of each case. */
async function runBatch(cases: readonly Case[], cpu: CpuName): Promise<Outcome[]> {
  let queue: Waiting[] = [];
  const caps = capsOfCpu(cpuOf(cpu));
  const engine: Engine = (graph, feeds) =>
    new Promise((resolve, reject) => {
      queue.push({ job: { program: compile(graph, { caps }).program, feeds }, resolve, reject });
    });
  let done = false;
  const all = Promise.all(cases.map(async (c) => (await runCase(c, engine)).wasm)).finally(() => {
    done = true;
  });
  while (!done) {
    await setImmediate();
    const waiting = queue;
    queue = [];
    if (waiting.length > 0) await runAll(waiting, cpu);
  }
  return all;
}

/** Runs the cases as C. Null when the data or the compiler is absent. */
export async function runConformanceC(
  options: ConformanceCOptions = {},
): Promise<ConformanceC | null> {
  const { share = 1, filter = "", data = ARCHIVE, cpu = "portable" } = options;
  const cases = readCases(data);
  if (cases === null || CC === null) return null;
  const chosen = cases
    .filter((c) => c.name.includes(filter) && skipReason(c.name, "wasm") === null)
    .filter((_, i) => Math.floor((i + 1) * share) > Math.floor(i * share));
  const failures: { name: string; reason: string }[] = [];
  const count = { pass: 0, fail: 0, skip: 0 };
  for (let i = 0; i < chosen.length; i += BATCH) {
    const batch = chosen.slice(i, i + BATCH);
    (await runBatch(batch, cpu)).forEach((outcome, k) => {
      count[outcome.kind]++;
      if (outcome.kind !== "fail") return;
      failures.push({ name: batch[k]!.name, reason: outcome.reason.slice(0, 300) });
    });
  }
  return { cases: chosen.length, pass: count.pass, skip: count.skip, failures };
}

async function main(args: readonly string[]): Promise<number> {
  const value = (flag: string): string | undefined => {
    const at = args.indexOf(flag);
    return at < 0 ? undefined : args[at + 1];
  };
  const data = value("--data") ?? ARCHIVE;
  const report = await runConformanceC({
    data,
    share: Number(value("--share") ?? 1),
    filter: value("--filter") ?? "",
    cpu: (value("--cpu") ?? "portable") as CpuName,
  });
  if (report === null) {
    console.error(CC === null ? "no C compiler" : `no test data at ${data}`);
    return 66;
  }
  const { cases, pass, skip, failures } = report;
  for (const { name, reason } of failures) console.log(`FAIL ${name}: ${reason}`);
  console.log(`${cases} cases as C: ${pass} pass, ${failures.length} fail, ${skip} skip`);
  return failures.length === 0 ? 0 : 1;
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2));
