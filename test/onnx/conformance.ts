/**
 * @file The ONNX operator conformance run: every node test of the ONNX project, in the interpreter and
 * compiled. `npm run conformance -- [--json] [--filter text] [--engine interpreter|wasm] [--threads n]
 * [--data path]`. With threads, results must be the bytes that one thread gives.
 */
import assert from "node:assert/strict";
import { compile } from "../../src/pipeline.ts";
import { createSession } from "../../src/runtime/session.ts";
import { bytesOf } from "../../src/tensor/tensor.ts";
import { ARCHIVE, readCases } from "./archive.ts";
import { type Engine, type Outcome, runCase } from "./case.ts";
import { skipReason } from "./skip.ts";

interface Tally {
  pass: number;
  fail: number;
  skip: number;
}
interface Failure {
  readonly name: string;
  readonly engine: "interpreter" | "wasm";
  readonly reason: string;
}
export interface Report {
  total: number;
  readonly interpreter: Tally;
  readonly wasm: Tally;
  skipGroups: readonly { readonly reason: string; readonly count: number }[];
  readonly failures: Failure[];
}

const tally = (): Tally => ({ pass: 0, fail: 0, skip: 0 });

/** Compiles and runs a graph as WebAssembly. */
const wasmEngine =
  (threads: number): Engine =>
  async (graph, feeds) => {
    const { program } = compile(graph);
    const alone = (await createSession(program)).run(feeds);
    if (threads === 1) return alone;
    const session = await createSession(program, { threads, share: "all" });
    const shared = session.run(feeds);
    session.close();
    assert.deepEqual(shared.map(bytesOf), alone.map(bytesOf), `${threads} threads differ from one`);
    return shared;
  };

/** Books one outcome; a listed case that passes is a failure too, so that the list stays true. */
function book(
  report: Report,
  groups: Map<string, number>,
  engine: "interpreter" | "wasm",
  name: string,
  outcome: Outcome,
): void {
  const count = report[engine];
  const listed = skipReason(name, engine);
  const skipped = outcome.kind === "skip" ? outcome.reason : listed;
  if (outcome.kind === "pass" && listed !== null) {
    count.fail++;
    report.failures.push({ name, engine, reason: `passes, but is listed: ${listed}` });
  } else if (outcome.kind === "pass") count.pass++;
  else if (skipped !== null) {
    count.skip++;
    groups.set(`${engine}: ${skipped}`, (groups.get(`${engine}: ${skipped}`) ?? 0) + 1);
  } else {
    count.fail++;
    const reason = outcome.kind === "fail" ? outcome.reason : "";
    report.failures.push({ name, engine, reason });
  }
}

/** Runs the cases whose name contains `filter`. Null when the data is absent. */
export async function runConformance(options: {
  readonly filter?: string;
  readonly engine?: "interpreter" | "wasm";
  readonly threads?: number;
  readonly data?: string;
}): Promise<Report | null> {
  const cases = readCases(options.data ?? ARCHIVE);
  if (cases === null) return null;
  const engine = options.engine === "interpreter" ? null : wasmEngine(options.threads ?? 1);
  const groups = new Map<string, number>();
  const report: Report = {
    total: 0,
    interpreter: tally(),
    wasm: tally(),
    skipGroups: [],
    failures: [],
  };
  for (const test of cases) {
    if (!test.name.includes(options.filter ?? "")) continue;
    report.total++;
    const outcome = await runCase(test, engine);
    if (options.engine !== "wasm") {
      book(report, groups, "interpreter", test.name, outcome.interpreter);
    }
    if (options.engine !== "interpreter") book(report, groups, "wasm", test.name, outcome.wasm);
  }
  report.skipGroups = [...groups].map(([reason, count]) => ({ reason, count }));
  return report;
}

function print(report: Report): void {
  const line = (name: string, t: Tally): string =>
    `${name}: ${t.pass} pass, ${t.fail} fail, ${t.skip} skip`;
  for (const f of report.failures) console.log(`FAIL ${f.engine} ${f.name}: ${f.reason}`);
  for (const g of report.skipGroups) console.log(`skip ${g.count}: ${g.reason}`);
  console.log(`${report.total} cases`);
  console.log(line("interpreter", report.interpreter));
  console.log(line("wasm", report.wasm));
}

async function main(args: readonly string[]): Promise<number> {
  const value = (flag: string): string | undefined => {
    const at = args.indexOf(flag);
    return at < 0 ? undefined : args[at + 1];
  };
  const engine = value("--engine");
  if (engine !== undefined && engine !== "interpreter" && engine !== "wasm") {
    console.error(`--engine is '${engine}', expected interpreter or wasm`);
    return 64;
  }
  const filter = value("--filter");
  const data = value("--data");
  const threads = Number(value("--threads") ?? 1);
  if (!Number.isInteger(threads) || threads < 1) {
    console.error(`--threads is '${value("--threads")}', expected a whole number`);
    return 64;
  }
  const report = await runConformance({
    threads,
    ...(filter === undefined ? {} : { filter }),
    ...(engine === undefined ? {} : { engine }),
    ...(data === undefined ? {} : { data }),
  });
  if (report === null) {
    console.error(`no test data at ${data ?? ARCHIVE}: give its place with --data`);
    return 66;
  }
  if (args.includes("--json")) console.log(JSON.stringify(report));
  else print(report);
  return report.failures.length === 0 ? 0 : 1;
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2));
