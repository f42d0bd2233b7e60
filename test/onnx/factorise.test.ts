/** @file Factorised networks, exported: ONNX Runtime and compiled code agree with the interpreter. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { factorise, METHODS } from "../../src/compress/factorise/index.ts";
import { macsOf, parameterCount } from "../../src/graph/count.ts";
import type { Graph } from "../../src/graph/graph.ts";
import { interpret } from "../../src/graph/interpret.ts";
import { compiledExecutor } from "../../src/optimize/executor.ts";
import { cleanGraph, loadModel, toOnnx } from "../../src/pipeline.ts";
import { lenet5 } from "../../src/train/models/lenet5.ts";
import { wideResnet } from "../../src/train/models/wide-resnet.ts";
import { runOrt, seededFeeds, worstDifference, worstOutput } from "../support/whole-models.ts";

const NETWORKS: Readonly<Record<string, Graph>> = {
  "channels last": wideResnet({ depth: 10, width: 1, side: 8, batch: 2 }),
  // As ONNX has it: channels first, normalisations folded.
  "channels first": cleanGraph(
    loadModel(toOnnx(wideResnet({ depth: 10, width: 1, side: 8 }))).graph,
  ),
  "linear layers": lenet5(),
};

for (const method of Object.keys(METHODS)) {
  for (const [kind, graph] of Object.entries(NETWORKS)) {
    test(`${method}, ${kind}`, async () => {
      // Least squares in turns take long on wide layers.
      const only = (name: string): boolean => method !== "cp" || !name.includes("group3");
      const found = factorise(graph, { method, only, ranks: { kind: "params", share: 0.5 } });
      const least = graph.name === "lenet5" ? 1 : method === "cp" ? 4 : 6;
      assert.ok(found.layers.length >= least, `${found.layers.length}`);
      assert.ok(parameterCount(found.graph) < parameterCount(graph));
      const saved = found.layers.reduce((sum, l) => sum + l.before.macs - l.after.macs, 0);
      assert.equal(macsOf(graph) - macsOf(found.graph), saved);
      const feeds = seededFeeds(graph, 3);
      const want = interpret(found.graph, feeds);
      const compiled = await compiledExecutor()(cleanGraph(found.graph), feeds);
      assert.ok(worstOutput(compiled, want, "relative") < 1e-4);
      const ran = await runOrt(toOnnx(found.graph), feeds);
      assert.ok(worstDifference(ran[0]!, [...(want[0]!.data as Float32Array)], "relative") < 1e-4);
    });
  }
}
