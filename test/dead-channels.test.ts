/** @file Dead channels of the MLPerf Tiny person-detection model: half the arithmetic goes, bit for bit. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { importTflite } from "../src/formats/tflite/index.ts";
import type { Graph } from "../src/graph/graph.ts";
import { typeOf } from "../src/graph/graph.ts";
import { interpret } from "../src/graph/interpret.ts";
import { verifyGraph } from "../src/graph/verify.ts";
import { removeDeadChannels } from "../src/passes/remove-dead-channels.ts";
import { makeRng } from "../src/util/rng.ts";
import { randomTensor } from "./fuzz/random-graph.ts";

const MODEL = new URL(
  "../../shared/data/mlperf-tiny/models/vww_mobilenetv1_int8.tflite",
  import.meta.url,
);

function macs(g: Graph): number {
  return g.nodes.reduce((sum, node) => {
    const [ins, outs] = [node.ins, node.outs].map((vs) => vs.map((v) => typeOf(g, v)));
    return sum + (node.op.cost?.(ins!, node.attrs, outs!).macs ?? 0);
  }, 0);
}

test("dead channels of vww_mobilenetv1_int8", (t) => {
  const path = fileURLToPath(MODEL);
  if (!existsSync(path)) {
    t.diagnostic("the MLPerf Tiny models are not here: not tested");
    return;
  }
  const { graph } = importTflite(readFileSync(path));
  const small = removeDeadChannels.run(graph);
  verifyGraph(small);
  assert.equal(macs(graph), 7_489_664);
  assert.equal(macs(small), 3_733_073);
  for (const seed of [1, 2]) {
    const feeds = graph.inputs.map((v) => randomTensor(makeRng(seed), typeOf(graph, v)));
    const [expected] = interpret(graph, feeds);
    const [got] = interpret(small, feeds);
    assert.deepEqual(got!.data, expected!.data);
  }
});
