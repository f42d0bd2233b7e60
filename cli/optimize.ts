/** @file `tersor optimize`: the smallest or fastest form of a model within stated limits. */
import { realpathSync } from "node:fs";
import { cpus } from "node:os";
import { basename } from "node:path";
import { Argument, Command, Option } from "commander";
import { openSource } from "../src/data/node.ts";
import { type RowSets, readRowSets } from "../src/data/rows.ts";
import type { DataSource } from "../src/data/source.ts";
import { type Graph, nameOf, typeOf } from "../src/graph/graph.ts";
import {
  type OptimizeResult,
  optimize,
  plannedRecipes,
  RECIPE_NAMES,
} from "../src/optimize/optimize.ts";
import { cleanGraph, toOnnx } from "../src/pipeline.ts";
import { renderReport } from "../src/report/html.ts";
import { writeArtefact } from "../src/targets/wasm/artefact.ts";
import type { TensorType } from "../src/tensor/tensor.ts";
import { UserError } from "../src/util/errors.ts";
import { VERSION } from "../src/version.ts";
import { EXIT } from "./errors.ts";
import { writeFiles } from "./files.ts";
import { shape, table } from "./format.ts";
import { type Io, makeIo } from "./io.ts";
import { type OptimizeFlags, type Settings, settingsOf } from "./optimize-settings.ts";
import { describeResult } from "./optimize-table.ts";
import { openForCommand, realNumber, wholeNumber, withCommon, withModel } from "./options.ts";
import { withPreprocess } from "./preprocess-options.ts";

const list = (text: string): string[] => text.split(",").map((s) => s.trim());

const limits = (command: Command): Command =>
  command
    .option("--data <path>", "calibration data: Parquet, npy, npz, IDX, or a folder by class")
    .option("--eval <path>", "evaluation data; default: other rows of --data")
    .addOption(
      new Option("--metric <name>", "what must not drop").choices(["top1", "agreement", "mse"]),
    )
    .option("--max-drop <x>", "points (top1, agreement) or relative error (mse)", realNumber(0))
    .option("--max-bytes <n>", "largest artefact", wholeNumber(1))
    .option("--max-latency <ms>", "largest median latency here", realNumber(0))
    .option("--out <folder>", "where to write");

const dataFlags = (command: Command): Command =>
  command
    .option("--column <name>", "column or array of the examples")
    .option("--label-column <name>", "column or array of the class index")
    .option("--calibration-rows <n>", "rows to calibrate with, default 300", wholeNumber(1))
    .option("--eval-rows <n>", "rows to evaluate with, default 5000", wholeNumber(1));

export const optimizeCommand = (): Command =>
  withCommon(
    withModel(
      withPreprocess(
        dataFlags(
          limits(
            new Command("optimize")
              .description("find the smallest form of a model within limits, and write it")
              .addArgument(new Argument("<model>", ".onnx or .tflite file")),
          )
            .addOption(
              new Option("--objective <what>", "to prefer within the limits").choices([
                "size",
                "latency",
              ]),
            )
            .option("--recipes <list>", `only these of ${RECIPE_NAMES.join(", ")}`, list)
            .option("--config <file>", "default: tersor.config.ts, .js, .mjs or .json")
            .option("--dry-run", "print the plan, change nothing"),
        ),
      ),
    ),
  ).action((path: string, flags: OptimizeFlags) => optimizeModel(path, flags));

async function optimizeModel(path: string, flags: OptimizeFlags): Promise<void> {
  const io = makeIo(flags);
  const settings = await settingsOf(path, flags);
  const { graph } = openForCommand(path, flags, io);
  const input = onlyInput(graph);
  const data = await openSource(settings.data, settings);
  const evaluation = await openEvaluation(settings, io);
  const recipes = plannedRecipes(cleanGraph(graph), settings.recipes);
  if (flags.dryRun === true) {
    plan(path, settings, graph, data, evaluation, recipes, io);
    return;
  }
  const rows = await readRowSets(
    data,
    evaluation,
    input,
    settings.preprocess,
    settings,
    (text, done, total) => io.progress(`${text} ${done}/${total}`),
  );
  if (io.verbose || rows.note.includes("left out")) io.note(`note: ${rows.note}`);
  const result = await runOptimize(path, graph, rows, settings, io);
  const artefacts = writeResult(settings.out, result);
  io.object({ ...result.report, artefacts });
  io.print(describeResult(result.report, io.width));
  for (const file of Object.values(artefacts)) io.print(`wrote ${file}`);
  warnOfBaseline(result, io);
  if (result.report.chosen === null) {
    io.note(
      `tersor: no candidate is within the limits; loosen one, or see ${artefacts["report.html"]}`,
    );
    process.exitCode = EXIT.unmet;
    return;
  }
  io.print(
    `next: open ${artefacts["report.html"]}, then ship ${artefacts["model.js"]} and model.wasm`,
  );
}

/** An original that hardly knows anything was probably fed the wrong way. */
function warnOfBaseline({ report: { baseline } }: OptimizeResult, io: Io): void {
  if (baseline.metric !== "top1" || baseline.high > 30) return;
  io.note(
    `note: the original itself scores ${baseline.value.toFixed(1)} %; check scale, mean, std, dtype and labels`,
  );
}

/** The type of the model's one input. */
function onlyInput(graph: Graph): TensorType {
  const [first, ...others] = graph.inputs;
  if (first === undefined) throw new UserError("E_MODEL", "the model has no inputs");
  if (others.length > 0) {
    throw new UserError("E_DATA", `the model has ${graph.inputs.length} inputs, data feeds one`, {
      hint: `freeze the others with --fix: ${graph.inputs.map((v) => nameOf(graph, v)).join(", ")}`,
    });
  }
  return typeOf(graph, first);
}

/** Null when the rows of --data serve both. */
async function openEvaluation(settings: Settings, io: Io): Promise<DataSource | null> {
  if (settings.eval === undefined) return null;
  const source = await openSource(settings.eval, settings);
  if (realpathSync(settings.eval) !== realpathSync(settings.data)) return source;
  io.note("note: --data and --eval are the same; its rows are split so that none serves both");
  return null;
}

const runOptimize = (
  path: string,
  graph: Graph,
  rows: RowSets,
  settings: Settings,
  io: Io,
): Promise<OptimizeResult> =>
  optimize(graph, {
    model: basename(path),
    version: VERSION,
    engine: `Node ${process.version} on ${cpus()[0]?.model.trim() ?? process.arch}`,
    metric: settings.metric,
    limits: settings.limits,
    seed: settings.seed,
    calibration: rows.calibration,
    evaluation: rows.evaluation,
    rowsNote: rows.note,
    preprocess: settings.preprocess,
    ...(settings.objective === undefined ? {} : { objective: settings.objective }),
    ...(settings.recipes === undefined ? {} : { recipes: settings.recipes }),
    onEvent: (event) =>
      io.progress(
        event.kind === "stage" ? event.text : `${event.text} ${event.done}/${event.total}`,
      ),
  });

/** Writes what there is; returns the paths by file name. */
function writeResult(out: string, { report, graph, compiled }: OptimizeResult) {
  const files = new Map<string, Uint8Array | string>();
  if (graph !== null && compiled !== null) {
    files.set("model.onnx", toOnnx(graph));
    for (const [name, content] of writeArtefact(compiled.program).files) files.set(name, content);
  }
  files.set("report.html", renderReport(report));
  files.set("report.json", `${JSON.stringify(report, null, 2)}\n`);
  const paths = writeFiles(out, files);
  return Object.fromEntries([...files.keys()].map((name, i) => [name, paths[i]!]));
}

function plan(
  path: string,
  settings: Settings,
  graph: Graph,
  data: DataSource,
  evaluation: DataSource | null,
  recipes: readonly { readonly name: string; readonly description: string }[],
  io: Io,
): void {
  const { metric, limits: allowed, preprocess, seed, out } = settings;
  const type = onlyInput(graph);
  const names = recipes.map((r) => r.name);
  const sources = { data: data.size, eval: evaluation?.size ?? null };
  io.object({
    dryRun: true,
    model: path,
    metric,
    limits: allowed,
    rows: sources,
    preprocess,
    seed,
    recipes: names,
    out,
  });
  const rows = [
    ["model", `${path}, input ${shape(type.dtype, type.shape)}`],
    [
      "calibrate",
      `${settings.calibrationRows ?? 300} rows at most, of ${data.size} in ${data.description}`,
    ],
    [
      "evaluate",
      evaluation === null
        ? "other rows of the same data"
        : `rows of ${evaluation.size} in ${evaluation.description}`,
    ],
    ["metric", `${metric}, drop of at most ${allowed.maxDrop}`],
    ...(allowed.maxBytes === undefined ? [] : [["bytes", `at most ${allowed.maxBytes}`]]),
    ...(allowed.maxLatencyMs === undefined
      ? []
      : [["latency", `at most ${allowed.maxLatencyMs} ms`]]),
    ["preprocess", JSON.stringify(preprocess)],
    ["write to", out],
  ];
  io.print("would optimize");
  io.print(table(rows, { width: io.width, flexible: 1 }));
  io.print("would try");
  io.print(
    table(
      recipes.map((r) => [r.name, r.description]),
      { width: io.width, flexible: 1 },
    ),
  );
}
