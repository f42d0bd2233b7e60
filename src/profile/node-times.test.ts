import assert from "node:assert/strict";
import { test } from "node:test";
import { tinyNet } from "../../test/support/sparse-training.ts";
import { cleanGraph, compile } from "../pipeline.ts";
import { layerTimes, nodeTimes } from "./node-times.ts";

test("times of layers and of the rest are those of the whole model", () => {
  const graph = cleanGraph(tinyNet());
  const compiled = compile(graph);
  const steps = compiled.program.steps.map((_, i) => ({ ms: 2 ** i }));
  const times = nodeTimes(compiled, steps);
  const { layers, rest } = layerTimes(graph, times);
  assert.deepEqual([...layers.keys()], ["conv", "head"]);
  const all = [...[...layers.values()].flat().map((t) => t!), rest];
  const sum = (key: "predictedMs" | "measuredMs") => all.reduce((n, t) => n + t[key], 0);
  assert.equal(sum("measuredMs"), 2 ** steps.length - 1);
  assert.ok(Math.abs(sum("predictedMs") - compiled.predictedNs / 1e6) < 1e-9);
  assert.ok(all.every((t) => t.predictedMs > 0 && t.measuredMs > 0));
  const conv = compiled.nodes.find(({ node }) => node.name === "conv")!;
  assert.equal(layers.get("conv")![0]!.measuredMs, 2 ** conv.firstStep * (2 ** conv.stepCount - 1));

  // One node fewer than there are layers of the name: none has times of its own.
  const fewer = layerTimes(
    graph,
    times.filter(({ node }) => node.node.name !== "head"),
  );
  assert.deepEqual(fewer.layers.get("head"), [null]);
});
