/**
 * @file Top-1 accuracy of two MLPerf Tiny models in float, as the int8 file and by each recipe, on labelled
 * data; prints a Markdown table. Rows that calibrate never evaluate.
 *
 *   node bench/accuracy.ts [--rows N: pictures to evaluate, default all 5,000]
 */
import { parseArgs } from "node:util";
import type { Graph } from "../src/graph/graph.ts";
import { RECIPES, recipeContext } from "../src/optimize/recipes.ts";
import { cleanGraph, loadModel } from "../src/pipeline.ts";
import { makeRng } from "../src/util/rng.ts";
import {
  accuracyOf,
  KEYWORDS,
  type LabelledRows,
  PICTURES,
  range,
  readRows,
  type Task,
} from "../test/support/accuracy.ts";
import { mlperfTiny, sharedFile } from "../test/support/whole-models.ts";

const SEED = 1;

const { values: flags } = parseArgs({ options: { rows: { type: "string", default: "5000" } } });

interface Part {
  readonly path: string;
  readonly rows: readonly number[];
}

function need<T>(found: T | null, what: string): T {
  if (found !== null) return found;
  console.error(`${what} is not here: see the shared data's README`);
  process.exit(2);
}

const model = (file: string): Graph => cleanGraph(loadModel(need(mlperfTiny(file), file)).graph);
const data = (path: string): string => need(sharedFile(path), path);

async function row(name: string, graph: Graph, rows: LabelledRows): Promise<void> {
  const a = await accuracyOf(graph, rows);
  const kb = (bytes: number): string => (bytes / 1000).toFixed(1);
  const cells = [name, a.rows, `${a.top1.toFixed(2)} %`, kb(a.codeBytes), kb(a.totalBytes)];
  console.log(`| ${cells.join(" | ")} |`);
}

async function table(
  title: string,
  files: { readonly float: string; readonly int8: string },
  calibration: Part,
  evaluation: Part,
  task: Task,
): Promise<void> {
  console.log(`\n${title}; ${calibration.rows.length} rows calibrate (seed ${SEED})\n`);
  console.log("| model | rows | top-1 | code, kB | module, kB |");
  console.log("| --- | ---: | ---: | ---: | ---: |");
  const int8 = model(files.int8);
  await row("int8 file", int8, await readRows(evaluation.path, evaluation.rows, int8, task));
  const float = model(files.float);
  const rows = await readRows(evaluation.path, evaluation.rows, float, task);
  const context = recipeContext(
    float,
    (await readRows(calibration.path, calibration.rows, float, task)).feeds,
  );
  for (const recipe of RECIPES) await row(recipe.name, await recipe.build(context), rows);
}

const keywords = data("mlperf-tiny/kws_eval.parquet");
const order = [...makeRng(SEED).permutation(500)];
await table(
  "Keyword spotting, DS-CNN",
  { float: "kws_dscnn_float.tflite", int8: "kws_dscnn_int8.tflite" },
  { path: keywords, rows: order.slice(0, 100) },
  { path: keywords, rows: order.slice(100) },
  KEYWORDS,
);
await table(
  "Image classification, ResNet-8 (JPEG-compressed CIFAR-10)",
  { float: "ic_resnet8_float.tflite", int8: "ic_resnet8_int8.tflite" },
  {
    path: data("cifar10/train.parquet"),
    rows: [...makeRng(SEED).permutation(50_000)].slice(0, 300),
  },
  { path: data("cifar10/test.parquet"), rows: range(0, Number(flags.rows)) },
  PICTURES,
);
