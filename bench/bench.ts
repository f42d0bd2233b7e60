/**
 * @file The benchmark: tersor and its peers over the models, in one interleaved run. Every engine has a process,
 * all get the same inputs, results are compared before anything is timed, and then they run in turns.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { type Machine, machineInfo, measure } from "../cli/measure.ts";
import { randomFeed } from "../src/feeds.ts";
import { macsOf } from "../src/graph/count.ts";
import { type Graph, typeOf } from "../src/graph/graph.ts";
import { toOnnx } from "../src/pipeline.ts";
import type { Tensor } from "../src/tensor/tensor.ts";
import { differenceOf, TOLERANCE } from "./compare-results.ts";
import { figuresOf } from "./figures.ts";
import { measureGemm } from "./gemm.ts";
import { writeHandover } from "./handover.ts";
import type { LoadedAnswer } from "./host.ts";
import { Host } from "./hosts.ts";
import { type BenchModel, DTYPES, MODELS, type ModelDType } from "./models/index.ts";
import { plotOf } from "./plot.ts";
import type {
  BenchReport,
  CaseFacts,
  GemmFigure,
  Measured,
  ModelFigures,
  Refused,
  SparseFigure,
} from "./results.ts";
import { isOffered, RUNS } from "./runs.ts";
import { measureSparse } from "./sparse-layers.ts";
import { markdownOf } from "./tables.ts";
import { verdictsOf } from "./verdicts.ts";

const USAGE = `npm run bench -- [options]
  --models a,b      of ${MODELS.map((m) => m.name).join(", ")}
  --engines a,b     of ${RUNS.map((r) => r.id).join(", ")}
  --types a,b       of ${DTYPES.join(", ")}
  --seconds n       time for each engine, model and type; default 2
  --quick           0.1 s each, three fresh processes for cold starts
  --no-figures      leaves out code size, memory, cold start, matrix kernel and sparse layer
  --out folder      for bench.json, bench.md and bench.svg; default out/bench
  --json            prints the JSON in place of the table`;

const FEED_SEED = 1;

interface Settings {
  readonly models: typeof MODELS;
  readonly runs: typeof RUNS;
  readonly dtypes: readonly ModelDType[];
  readonly seconds: number;
  /** Fresh processes of the model whose cold start counts, and of any other; 0: no figures. */
  readonly starts: readonly [kws: number, other: number];
  readonly out: string;
  readonly json: boolean;
}

/** The entries that a comma-separated option names; all where it is absent. */
function pick<T>(all: readonly T[], nameOf: (one: T) => string, list: string | undefined): T[] {
  if (list === undefined) return [...all];
  return list.split(",").map((name) => {
    const found = all.find((one) => nameOf(one) === name);
    if (found === undefined) throw new Error(`'${name}' is none of ${all.map(nameOf).join(", ")}`);
    return found;
  });
}

function settingsOf(args: readonly string[]): Settings | null {
  const { values } = parseArgs({
    args: [...args],
    options: {
      models: { type: "string" },
      engines: { type: "string" },
      types: { type: "string" },
      seconds: { type: "string" },
      quick: { type: "boolean", default: false },
      "no-figures": { type: "boolean", default: false },
      out: { type: "string", default: "out/bench" },
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return null;
  const seconds = Number(values.seconds ?? (values.quick ? 0.1 : 2));
  if (!(seconds > 0)) throw new Error("--seconds takes a number above 0");
  return {
    models: pick(MODELS, (m) => m.name, values.models),
    runs: pick(RUNS, (r) => r.id, values.engines).filter(isOffered),
    dtypes: pick<ModelDType>(DTYPES, String, values.types),
    seconds,
    starts: values["no-figures"] ? [0, 0] : values.quick ? [3, 1] : [21, 3],
    out: resolve(values.out),
    json: values.json,
  };
}

/** All that one case adds to the report. */
interface CaseResult {
  readonly measured: readonly Measured[];
  readonly refused: readonly Refused[];
}

interface Ready {
  readonly host: Host;
  readonly answer: LoadedAnswer;
}

/** Loads the case everywhere; engines that cannot take it say why. */
async function loadAll(hosts: readonly Host[], path: string, facts: CaseFacts) {
  const ready: Ready[] = [];
  const refused: Refused[] = [];
  for (const host of hosts) {
    try {
      ready.push({ host, answer: await host.load(path) });
    } catch (error) {
      refused.push({ ...facts, run: host.run.id, reason: (error as Error).message });
    }
  }
  return { ready, refused };
}

/** Whose results the others are compared with. */
const REFERENCES = ["ort-node", "ort-web", "wasm"];

const referenceOf = (ready: readonly Ready[]): Ready =>
  REFERENCES.map((id) => ready.find(({ host }) => host.run.id === id)).find(
    (r) => r !== undefined,
  ) ?? ready[0]!;

async function runCase(
  hosts: readonly Host[],
  path: string,
  facts: CaseFacts,
  seconds: number,
): Promise<CaseResult> {
  const { ready, refused } = await loadAll(hosts, path, facts);
  if (ready.length === 0) return { measured: [], refused };
  const outputs = ready.map(({ answer }) => answer.outputs);
  const want = referenceOf(ready).answer.outputs;
  const differences = outputs.map((got) => differenceOf(got, want));
  const right = ready.filter((_, i) => differences[i]! <= TOLERANCE[facts.dtype]);
  const timings = await measure(
    right.map(({ host }) => host),
    seconds,
  );
  for (const { host } of ready) await host.unload();
  const failed = right.flatMap(({ host: { run, failure } }): Refused[] =>
    failure === null ? [] : [{ ...facts, run: run.id, reason: failure }],
  );
  const measured = ready.map((one, i): Measured => {
    const { detail, peakBytes, loadMs } = one.answer;
    const timed = timings[right.indexOf(one)];
    const timing = timed === undefined || one.host.failure !== null ? null : timed;
    const run = one.host.run.id;
    return { ...facts, run, detail, peakBytes, loadMs, difference: differences[i]!, timing };
  });
  return { measured, refused: [...refused, ...failed] };
}

const feedsOf = (graph: Graph): Tensor[] =>
  graph.inputs.map((v, i) => randomFeed(typeOf(graph, v), FEED_SEED + i));

/** Adds one case to the report. */
async function addCase(
  report: Growing,
  { name, load }: BenchModel,
  dtype: ModelDType,
  hosts: readonly Host[],
  path: string,
  { seconds, starts }: Settings,
): Promise<void> {
  const found = await load(dtype);
  if ("missing" in found) {
    report.missing.push(`${name} ${dtype}: ${found.missing}`);
    return;
  }
  const { graph } = found;
  const feeds = feedsOf(graph);
  const facts = { model: name, dtype, macs: macsOf(graph) };
  writeHandover(path, { graph, feeds, onnx: toOnnx(graph) });
  const takers = hosts.filter(({ run }) => run.dtypes.includes(dtype));
  const { measured, refused } = await runCase(takers, path, facts, seconds);
  report.measured.push(...measured);
  report.refused.push(...refused);
  const count = name === "kws" ? starts[0] : starts[1];
  if (count > 0) report.figures.push(figuresOf(facts, graph, feeds, count));
}

/** A report while it is made. */
interface Growing {
  readonly date: string;
  readonly machine: Machine;
  readonly seconds: number;
  readonly measured: Measured[];
  readonly refused: Refused[];
  readonly missing: string[];
  readonly figures: ModelFigures[];
  gemm: readonly GemmFigure[];
  sparse: SparseFigure | null;
}

/** `save` is called with what there is after each case, so that an interrupted run is not lost. */
async function benchmark(
  settings: Settings,
  save: (report: BenchReport) => void,
): Promise<BenchReport> {
  const { models, runs, dtypes, seconds, starts } = settings;
  const folder = mkdtempSync(join(tmpdir(), "tersor-bench-"));
  const report: Growing = {
    date: new Date().toISOString().slice(0, 10),
    machine: machineInfo(),
    seconds,
    measured: [],
    refused: [],
    missing: [],
    figures: [],
    gemm: [],
    sparse: null,
  };
  const hosts: Host[] = [];
  try {
    if (starts[0] > 0) {
      console.error("matrix kernel, sparse layer");
      report.gemm = await measureGemm();
      report.sparse = await measureSparse();
    }
    for (const run of runs) hosts.push(new Host(run));
    for (const model of models) {
      for (const dtype of dtypes) {
        console.error(`${model.name} ${dtype}`);
        await addCase(report, model, dtype, hosts, join(folder, "model.bin"), settings);
        save({ ...report, verdicts: verdictsOf(report) });
      }
    }
  } finally {
    for (const host of hosts) host.end();
    rmSync(folder, { recursive: true, force: true });
  }
  return { ...report, verdicts: verdictsOf(report) };
}

function write(out: string, report: BenchReport): void {
  mkdirSync(out, { recursive: true });
  writeFileSync(join(out, "bench.json"), `${JSON.stringify(report, null, 1)}\n`);
  writeFileSync(join(out, "bench.md"), markdownOf(report));
  writeFileSync(join(out, "bench.svg"), plotOf(report));
}

async function main(args: readonly string[]): Promise<void> {
  const settings = settingsOf(args);
  if (settings === null) {
    console.log(USAGE);
    return;
  }
  const { out, json } = settings;
  const report = await benchmark(settings, (found) => write(out, found));
  console.log(json ? JSON.stringify(report) : markdownOf(report));
}

await main(process.argv.slice(2)).catch((error: unknown) => {
  console.error(`bench: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
});
