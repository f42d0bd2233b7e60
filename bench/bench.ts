/**
 * @file The benchmark of the project: keyword spotting and image classification, float and quantised by
 * tersor, beside onnxruntime-web on one thread in the same run. `npm run bench -- [--seconds n] [--json]`.
 */
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { type EngineName, loadEngine } from "../cli/bench-engines.ts";
import { machineInfo, measure, type Timing } from "../cli/measure.ts";
import { openSource } from "../src/data/node.ts";
import type { Preprocess } from "../src/data/preprocess.ts";
import { readRowSets } from "../src/data/rows.ts";
import {
  cleanGraph,
  collectStats,
  compiledExecutor,
  type Graph,
  openModel,
  quantizeGraph,
  type Tensor,
  unpackWeights,
} from "../src/index.ts";

const DATA = resolve(import.meta.dirname, "../../shared/data");

interface Task {
  readonly name: string;
  readonly model: string;
  readonly data: string;
  readonly preprocess: Preprocess;
}

const TASKS: readonly Task[] = [
  {
    name: "KWS DS-CNN",
    model: "mlperf-tiny/models/kws_dscnn_float.tflite",
    data: "mlperf-tiny/kws_eval.parquet",
    preprocess: { dtype: "i8", quantScale: 0.5847029089927673, zeroPoint: 83 },
  },
  {
    name: "IC ResNet-8",
    model: "mlperf-tiny/models/ic_resnet8_float.tflite",
    data: "cifar10/test.parquet",
    preprocess: {},
  },
];

const ENGINES: readonly EngineName[] = ["tersor", "onnxruntime-web"];
const CALIBRATION_ROWS = 100;

interface Result {
  readonly task: string;
  readonly dtype: string;
  readonly engines: Readonly<Record<string, Timing>>;
  /** Median of onnxruntime-web over that of tersor. */
  readonly ratio: number;
}

async function run(
  task: string,
  dtype: string,
  graph: Graph,
  feeds: readonly Tensor[],
  seconds: number,
) {
  const model = { graph, format: "tflite", diagnostics: [] } as const;
  const loaded = [];
  for (const engine of ENGINES) {
    loaded.push(await loadEngine(engine, model, new Uint8Array(), feeds));
  }
  const timings = await measure(loaded, seconds);
  const engines = Object.fromEntries(ENGINES.map((name, i) => [name, timings[i]!]));
  return { task, dtype, engines, ratio: timings[1]!.p50Ms / timings[0]!.p50Ms } satisfies Result;
}

async function benchTask(task: Task, seconds: number): Promise<Result[]> {
  const { graph } = openModel(join(DATA, task.model));
  const float = unpackWeights(cleanGraph(graph));
  const source = await openSource(join(DATA, task.data));
  const input = graph.values.get(graph.inputs[0]!)!.type;
  const rows = { calibrationRows: CALIBRATION_ROWS, evaluationRows: 1, seed: 1 };
  const { calibration } = await readRowSets(source, null, input, task.preprocess, rows);
  const stats = await collectStats(float, compiledExecutor(), calibration.feeds);
  const int8 = quantizeGraph(float, stats, { observer: { kind: "min-max" } });
  const feeds = calibration.feeds[0]!;
  return [
    await run(task.name, "f32", float, feeds, seconds),
    await run(task.name, "int8", int8, feeds, seconds),
  ];
}

function markdown(results: readonly Result[]): string {
  const cell = (t: Timing): string => `${t.p50Ms.toFixed(3)} (p95 ${t.p95Ms.toFixed(3)})`;
  const head = `| model | type | tersor ms | onnxruntime-web ms | ratio |\n| --- | --- | ---: | ---: | ---: |\n`;
  const rows = results.map(
    ({ task, dtype, engines, ratio }) =>
      `| ${task} | ${dtype} | ${ENGINES.map((e) => cell(engines[e]!)).join(" | ")} | ${ratio.toFixed(2)} |\n`,
  );
  return head + rows.join("");
}

async function main(args: readonly string[]): Promise<void> {
  const at = args.indexOf("--seconds");
  const seconds = at < 0 ? 3 : Number(args[at + 1]);
  const missing = TASKS.flatMap((t) => [t.model, t.data]).filter((p) => !existsSync(join(DATA, p)));
  if (missing.length > 0 || !(seconds > 0)) {
    const reason =
      missing.length > 0
        ? `not found in ../shared/data: ${missing.join(", ")}`
        : "--seconds takes a number";
    console.error(`bench: ${reason}`);
    process.exitCode = 1;
    return;
  }
  const results: Result[] = [];
  for (const task of TASKS) results.push(...(await benchTask(task, seconds)));
  const machine = machineInfo();
  if (args.includes("--json")) {
    console.log(JSON.stringify({ machine, results }));
    return;
  }
  const { cpu, cores, node } = machine;
  const root = resolve(import.meta.dirname, "..");
  const ort = readFileSync(join(root, "node_modules/onnxruntime-web/package.json"), "utf8");
  const { version } = JSON.parse(ort) as { readonly version: string };
  console.log(`${cpu}, ${cores} cores, Node ${node}, one thread, onnxruntime-web ${version}\n`);
  console.log(markdown(results));
}

await main(process.argv.slice(2));
