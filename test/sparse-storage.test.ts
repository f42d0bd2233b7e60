/** @file Sparse networks on disk: ONNX and artefacts are small, load, and compute the same; so do those in 8 bits. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { prunedWeights } from "../bench/models/sparse.ts";
import { collectStats, quantizeGraph } from "../src/compress/quantize/index.ts";
import type { Graph } from "../src/graph/graph.ts";
import { compiledExecutor } from "../src/optimize/executor.ts";
import { cleanGraph, compile, loadModel, toOnnx } from "../src/pipeline.ts";
import { WASM } from "../src/primitives/capabilities.ts";
import { createSession } from "../src/runtime/session.ts";
import { emitModule } from "../src/targets/wasm/module.ts";
import type { Tensor } from "../src/tensor/tensor.ts";
import { mobilenetV2 } from "../src/train/models/mobilenet-v2.ts";
import { runOrt, seededFeeds } from "./support/whole-models.ts";

async function run(graph: Graph, feeds: readonly Tensor[], unpacks: boolean): Promise<Tensor> {
  const session = await createSession(compile(graph, { caps: { ...WASM, unpacks } }).program);
  const result = session.run(feeds)[0]!;
  session.close();
  return result;
}

const artefactBytes = (graph: Graph): number => emitModule(compile(graph).program).wasm.length;

test("a MobileNetV2 with 90 % zeros takes a fifth, as ONNX and as an artefact, and computes the same", async () => {
  const dense = cleanGraph(mobilenetV2({ width: 0.5 }));
  const graph = cleanGraph(prunedWeights(mobilenetV2({ width: 0.5 }), 0.9));
  const feeds = seededFeeds(graph, 1);
  const onnx = toOnnx(graph, { sparse: "auto" });
  const whole = toOnnx(dense);
  assert.ok(whole.length > 5 * onnx.length, `${whole.length} and ${onnx.length} bytes`);
  assert.deepEqual(onnx, toOnnx(graph, { sparse: "auto" }), "the same bytes again");
  const again = loadModel(onnx).graph;
  assert.deepEqual(
    toOnnx(again),
    toOnnx(loadModel(toOnnx(graph)).graph),
    "the same graph when read",
  );
  // Random deep networks amplify rounding, so ONNX Runtime is compared with itself.
  assert.deepEqual(await runOrt(onnx, feeds), await runOrt(toOnnx(graph), feeds));
  const want = await run(graph, feeds, false);
  assert.deepEqual((await run(graph, feeds, true)).data, want.data);
  const [small, large] = [artefactBytes(graph), artefactBytes(dense)];
  assert.ok(large > 5 * small, `${large} and ${small} bytes`);
});

/** Quantised on a few seeded inputs. */
async function quantised(graph: Graph): Promise<Graph> {
  const rows = [1, 2].map((seed) => seededFeeds(graph, seed));
  const stats = await collectStats(graph, compiledExecutor(), rows);
  return quantizeGraph(graph, stats, { observer: { kind: "min-max" } });
}

test("8-bit weights keep their zeros, which are not stored, and results their bits", async () => {
  const dense = mobilenetV2({ width: 0.25, side: 8 });
  const float = cleanGraph(prunedWeights(dense, 0.9));
  const graph = await quantised(float);
  const kept = (g: Graph, dtype: string): number[] =>
    [...g.constants.values()]
      .filter((t) => t.type.dtype === dtype && t.type.shape.length > 1)
      .map((t) => (t.data as Int8Array).reduce((n, w) => n + Number(w !== 0), 0));
  const [before, after] = [kept(float, "f32"), kept(graph, "i8")];
  assert.equal(before.length, after.length);
  // Small weights may become zero as well; zeros stay zero.
  after.forEach((n, i) => assert.ok(n <= before[i]! && n > 0.8 * before[i]!, `${n}, ${before[i]}`));
  const feeds = seededFeeds(graph, 3);
  const want = await run(graph, feeds, false);
  assert.deepEqual((await run(graph, feeds, true)).data, want.data);
  const constants = (g: Graph): number => emitModule(compile(g).program).weightsBytes;
  const [small, large] = [constants(graph), constants(await quantised(cleanGraph(dense)))];
  assert.ok(small < large / 3, `${small} and ${large} bytes`);
  const onnx = toOnnx(graph, { sparse: "auto" });
  assert.ok(onnx.length < 0.75 * toOnnx(graph).length, "QDQ form");
  assert.equal((await runOrt(onnx, feeds)).length, 1);
});
