/** @file Accuracy on real data: float, int8 files, and int8 models made here from rows that do not evaluate. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { Graph } from "../src/graph/graph.ts";
import { OBSERVER_OF, RECIPES, recipeContext } from "../src/optimize/recipes.ts";
import { cleanGraph, loadModel } from "../src/pipeline.ts";
import { makeRng } from "../src/util/rng.ts";
import { accuracyOf, KEYWORDS, PICTURES, range, readRows } from "./support/accuracy.ts";
import { mlperfTiny, sharedFile } from "./support/whole-models.ts";

const CODE_LIMIT = 40 * 1024;
/** Percentage points: engines that fuse multiply-add may decide a row otherwise. */
const LEEWAY = 0.3;

const near = (got: number, want: number): void =>
  assert.ok(Math.abs(got - want) <= LEEWAY, `${got} %, expected ${want} %`);

function cleaned(t: TestContext, file: string): Graph | null {
  const bytes = mlperfTiny(file);
  if (bytes === null) t.diagnostic("the MLPerf Tiny models are not here: not tested");
  return bytes && cleanGraph(loadModel(bytes).graph);
}

function present(t: TestContext, path: string): string | null {
  const found = sharedFile(path);
  if (found === null) t.diagnostic(`no ${path} in the shared data: not tested`);
  return found;
}

test("keyword spotting: float 90.6 %, int8 within a point, from 100 rows kept apart", async (t) => {
  const path = present(t, "mlperf-tiny/kws_eval.parquet");
  const float = cleaned(t, "kws_dscnn_float.tflite");
  const int8 = cleaned(t, "kws_dscnn_int8.tflite");
  if (path === null || float === null || int8 === null) return;
  const all = range(0, 500);
  near((await accuracyOf(float, await readRows(path, all, float, KEYWORDS))).top1, 90.6);
  near((await accuracyOf(int8, await readRows(path, all, int8, KEYWORDS))).top1, 90.4);
  const order = [...makeRng(1).permutation(500)];
  const rest = await readRows(path, order.slice(100), float, KEYWORDS);
  const calibration = await readRows(path, order.slice(0, 100), float, KEYWORDS);
  const context = recipeContext(float, calibration.feeds);
  const before = await accuracyOf(float, rest);
  for (const recipe of RECIPES.filter((r) => Object.hasOwn(OBSERVER_OF, r.name))) {
    const after = await accuracyOf(await recipe.build(context), rest);
    t.diagnostic(
      `${recipe.name}: ${after.top1} % of ${after.rows}, ${after.codeBytes} bytes of code`,
    );
    assert.ok(after.top1 >= before.top1 - 1, `${recipe.name}: ${before.top1} % to ${after.top1} %`);
    assert.ok(after.codeBytes <= CODE_LIMIT);
  }
});

test("image classification: int8 within a point of float on 1,000 pictures", async (t) => {
  const path = present(t, "cifar10/test.parquet");
  const train = present(t, "cifar10/train.parquet");
  const float = cleaned(t, "ic_resnet8_float.tflite");
  if (path === null || train === null || float === null) return;
  const rows = await readRows(path, range(0, 1000), float, PICTURES);
  const calibration = await readRows(train, range(0, 100), float, PICTURES);
  const before = await accuracyOf(float, rows);
  const recipe = RECIPES.find((r) => r.name === "int8-minmax")!;
  const after = await accuracyOf(await recipe.build(recipeContext(float, calibration.feeds)), rows);
  t.diagnostic(`float ${before.top1} %, int8 ${after.top1} %, ${after.codeBytes} bytes of code`);
  assert.ok(after.top1 >= before.top1 - 1, `${before.top1} % to ${after.top1} %`);
  assert.ok(after.codeBytes <= CODE_LIMIT);
});
