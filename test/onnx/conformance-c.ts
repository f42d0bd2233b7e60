/**
 * @file The ONNX node tests through C: batches of cases become one executable each.
 * `node test/onnx/conformance-c.ts [--every n] [--filter text] [--data path]`; every 5th case by default.
 */
import { setImmediate } from "node:timers/promises";
import { compile } from "../../src/pipeline.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { CC, type CJob, runC, STRICT } from "../support/c-run.ts";
import { ARCHIVE, type Case, readCases } from "./archive.ts";
import { type Engine, type Outcome, runCase } from "./case.ts";
import { skipReason } from "./skip.ts";

const BATCH = 40;
const FLAGS = [...STRICT, "-O1", "-fno-math-errno", "-ffp-contract=off"];

interface Waiting {
  readonly job: CJob;
  readonly resolve: (results: readonly Tensor[]) => void;
  readonly reject: (error: unknown) => void;
}

/** Runs all jobs in one executable; when that fails, each in its own. */
function runAll(waiting: readonly Waiting[]): void {
  try {
    const results = runC(
      waiting.map((w) => w.job),
      FLAGS,
    );
    waiting.forEach((w, i) => {
      w.resolve(results[i]!);
    });
  } catch (error) {
    if (waiting.length === 1) waiting[0]!.reject(error);
    else for (const w of waiting) runAll([w]);
  }
}

/** Outcomes of the compiled side of each case. */
async function runBatch(cases: readonly Case[]): Promise<Outcome[]> {
  let queue: Waiting[] = [];
  const engine: Engine = (graph, feeds) =>
    new Promise((resolve, reject) => {
      queue.push({ job: { program: compile(graph).program, feeds }, resolve, reject });
    });
  let done = false;
  const all = Promise.all(cases.map(async (c) => (await runCase(c, engine)).wasm)).finally(() => {
    done = true;
  });
  while (!done) {
    await setImmediate();
    const waiting = queue;
    queue = [];
    if (waiting.length > 0) runAll(waiting);
  }
  return all;
}

async function main(args: readonly string[]): Promise<number> {
  const value = (flag: string): string | undefined => {
    const at = args.indexOf(flag);
    return at < 0 ? undefined : args[at + 1];
  };
  const data = value("--data") ?? ARCHIVE;
  const cases = readCases(data);
  if (cases === null || CC === null) {
    console.error(CC === null ? "no C compiler" : `no test data at ${data}`);
    return 66;
  }
  const every = Number(value("--every") ?? 5);
  const chosen = cases
    .filter((c) => c.name.includes(value("--filter") ?? ""))
    .filter((_, i) => i % every === 0);
  const count = { pass: 0, fail: 0, skip: 0 };
  for (let i = 0; i < chosen.length; i += BATCH) {
    const batch = chosen.slice(i, i + BATCH);
    (await runBatch(batch)).forEach((outcome, k) => {
      const { name } = batch[k]!;
      const kind = skipReason(name, "wasm") === null ? outcome.kind : "skip";
      count[kind]++;
      if (kind === "fail" && outcome.kind === "fail") {
        console.log(`FAIL ${name}: ${outcome.reason.slice(0, 300)}`);
      }
    });
  }
  console.log(
    `${chosen.length} cases as C: ${count.pass} pass, ${count.fail} fail, ${count.skip} skip`,
  );
  return count.fail === 0 ? 0 : 1;
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2));
