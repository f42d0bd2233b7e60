/** @file Whole networks change layout and back with at most a transpose at the input. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { importTflite } from "../src/formats/tflite/index.ts";
import { type Graph, isOp, typeOf } from "../src/graph/graph.ts";
import { interpret } from "../src/graph/interpret.ts";
import { transpose } from "../src/ops/shape/transpose.ts";
import { cleanup, runPasses, toLayout } from "../src/passes/index.ts";
import { toNumbers } from "../src/tensor/tensor.ts";
import { makeRng } from "../src/util/rng.ts";
import { randomTensor } from "./fuzz/random-graph.ts";

const transposes = (g: Graph): number => g.nodes.filter((n) => isOp(n, transpose)).length;

for (const name of ["ic_resnet8_float", "ic_resnet8_int8", "kws_dscnn_int8"]) {
  test(`layouts of ${name}`, (t) => {
    const url = new URL(`../../shared/data/mlperf-tiny/models/${name}.tflite`, import.meta.url);
    if (!existsSync(fileURLToPath(url))) {
      t.diagnostic("the MLPerf Tiny models are not here: not tested");
      return;
    }
    const graph = runPasses(importTflite(readFileSync(url)).graph, cleanup, { verify: true });
    const nchw = runPasses(graph, [toLayout("nchw"), ...cleanup], { verify: true });
    const back = runPasses(nchw, [toLayout("nhwc"), ...cleanup], { verify: true });
    assert.ok(transposes(nchw) <= 1, `${transposes(nchw)} transposes in nchw`);
    assert.equal(transposes(back), 0);
    assert.equal(back.nodes.length, graph.nodes.length);
    const feeds = graph.inputs.map((v) => randomTensor(makeRng(1), typeOf(graph, v)));
    const [want, a, b] = [graph, nchw, back].map((g) => toNumbers(interpret(g, feeds)[0]!));
    want!.forEach((x, i) => {
      assert.ok(Math.abs(x - a![i]!) < 1e-5 && Math.abs(x - b![i]!) < 1e-5);
    });
  });
}
