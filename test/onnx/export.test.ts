import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import * as ort from "onnxruntime-node";
import { exportOnnx } from "../../src/formats/onnx/export.ts";
import { importOnnx } from "../../src/formats/onnx/import.ts";
import { importTflite } from "../../src/formats/tflite/import.ts";
import { type Graph, GraphBuilder } from "../../src/graph/graph.ts";
import { interpret } from "../../src/graph/interpret.ts";
import { defineOp } from "../../src/graph/op.ts";
import { ops } from "../../src/ops/index.ts";
import { type Tensor, tensorOf, tensorType, toNumbers } from "../../src/tensor/tensor.ts";
import { makeRng } from "../../src/util/rng.ts";
import { difference } from "./compare.ts";

const SEED = 5;

function randomFeeds(graph: Graph): readonly Tensor[] {
  const rng = makeRng(SEED);
  return graph.inputs.map((v) => {
    const { dtype, shape } = graph.values.get(v)!.type;
    const n = shape.reduce((a, b) => a * b, 1);
    const draw = dtype === "f32" ? () => rng.normal() : () => rng.int(256) - 128;
    return tensorOf(dtype, shape, Array.from({ length: n }, draw));
  });
}

async function runOrt(graph: Graph, bytes: Uint8Array, feeds: readonly Tensor[]) {
  const session = await ort.InferenceSession.create(bytes, { logSeverityLevel: 4 });
  const named = graph.inputs.map((v, i) => {
    const { type, data } = feeds[i]!;
    const tensor =
      type.dtype === "i8"
        ? new ort.Tensor("int8", data as Int8Array, [...type.shape])
        : new ort.Tensor("float32", data as Float32Array, [...type.shape]);
    return [graph.values.get(v)!.name, tensor] as const;
  });
  const results = await session.run(Object.fromEntries(named));
  await session.release();
  return graph.outputNames.map((name) => Array.from(results[name]!.data as Float32Array, Number));
}

const worst = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0);

/** A small network in layout nhwc with fused parts, float or quantised. */
function network(quantised: boolean): Graph {
  const rng = makeRng(SEED);
  const g = new GraphBuilder("net");
  const random = (n: number, scale: number): number[] =>
    Array.from({ length: n }, () => rng.normal() * scale);
  const x = g.input("x", tensorType("f32", [1, 6, 6, 3]));
  const window = {
    layout: "nhwc",
    stride: [2, 2],
    padBegin: [0, 0],
    padEnd: [1, 1],
    dilation: [1, 1],
  };
  const act = { fn: "relu" };
  if (!quantised) {
    const w = g.constant(tensorOf("f32", [4, 3, 3, 3], random(108, 0.3)), "w");
    const b = g.constant(tensorOf("f32", [4], random(4, 0.3)), "b");
    const y = g.apply(ops["conv"]!, [x, w, b], { ...window, groups: 1, act });
    const flat = g.apply(ops["reshape"]!, [y], { shape: [1, 36] });
    const v = g.constant(tensorOf("f32", [5, 36], random(180, 0.3)), "v");
    g.output(g.apply(ops["linear"]!, [flat, v], { act: { fn: "clip", min: -1, max: 1 } }), "y");
    return g.build();
  }
  const input = { dtype: "i8", scale: [0.03], zeroPoint: [3], axis: null };
  const q = g.apply(ops["quantize"]!, [x], { out: input });
  const scale = [0.01, 0.02, 0.015, 0.012].map(Math.fround);
  const type = tensorType("i8", [4, 3, 3, 3], { scale, zeroPoint: [0, 0, 0, 0], axis: 0 });
  const whole = Array.from({ length: 108 }, () => rng.int(255) - 127);
  const w = g.constant({ type, data: Int8Array.from(whole) }, "w");
  const b = g.constant(tensorOf("i32", [4], [100, -50, 20, 0]), "b");
  const out = { dtype: "i8", scale: [0.05], zeroPoint: [-128], axis: null };
  const y = g.apply(ops["conv"]!, [q, w, b], { ...window, groups: 1, act, out }, "conv");
  const sum = { dtype: "i8", scale: [0.09], zeroPoint: [5], axis: null };
  const clip = { fn: "clip", min: 0.5, max: 6 };
  const z = g.apply(ops["add"]!, [y, y], { out: sum, act: clip }, "sum");
  g.output(g.apply(ops["dequantize"]!, [z]), "y");
  return g.build();
}

for (const quantised of [false, true]) {
  const kind = quantised ? "quantised" : "float";
  test(`an exported ${kind} network runs the same in ONNX Runtime and when imported again`, async () => {
    const graph = network(quantised);
    const bytes = exportOnnx(graph);
    assert.deepEqual(exportOnnx(network(quantised)), bytes, "equal graphs give equal bytes");
    const feeds = randomFeeds(graph);
    const want = interpret(graph, feeds);
    const again = importOnnx(bytes).graph;
    assert.equal(difference(interpret(again, feeds)[0]!, want[0]!, 1e-6), null);
    const [got] = await runOrt(graph, bytes, feeds);
    assert.ok(worst(got!, toNumbers(want[0]!)) < 1e-5);
  });
}

test("names, documentation and metadata are kept", () => {
  const g = new GraphBuilder("named");
  g.meta["doc"] = "about";
  g.meta["author"] = "someone";
  const x = g.input("pixels", tensorType("f32", [2]));
  g.output(g.apply(ops["relu"]!, [x]), "scores");
  g.output(x, "copy");
  const { graph } = importOnnx(exportOnnx(g.build()));
  assert.equal(graph.name, "named");
  assert.equal(graph.values.get(graph.inputs[0]!)!.name, "pixels");
  assert.deepEqual(graph.outputNames, ["scores", "copy"]);
  assert.equal(graph.meta["doc"], "about");
  assert.equal(graph.meta["author"], "someone");
});

test("an operator without an ONNX form is named", () => {
  const odd = defineOp({ name: "odd", quant: "none", infer: (ins) => ins, samples: [] });
  const g = new GraphBuilder("odd");
  g.output(g.apply(odd, [g.input("x", tensorType("f32", [2]))], {}, "layer1"));
  assert.throws(() => exportOnnx(g.build()), {
    code: "E_UNSUPPORTED",
    where: "layer1",
    message: /operator odd/,
  });
});

const MODELS = new URL("../../../shared/data/mlperf-tiny/models/", import.meta.url).pathname;

/**
 * TensorFlow Lite's integer arithmetic rounds differently from ONNX Runtime's: single steps of the result
 * differ per layer, so that only the float model has to agree closely.
 */
const SHARED = [
  { file: "kws_dscnn_float.tflite", tolerance: 1e-5 },
  { file: "kws_dscnn_int8.tflite", tolerance: 16 },
];
for (const { file, tolerance } of SHARED) {
  test(`${file} exported runs in ONNX Runtime`, async (t) => {
    if (!existsSync(MODELS + file)) return t.diagnostic(`skipped: no ${file} in the shared data`);
    const { graph } = importTflite(new Uint8Array(readFileSync(MODELS + file)));
    const feeds = randomFeeds(graph);
    const [got] = await runOrt(graph, exportOnnx(graph), feeds);
    assert.ok(worst(got!, toNumbers(interpret(graph, feeds)[0]!)) <= tolerance);
  });
}
