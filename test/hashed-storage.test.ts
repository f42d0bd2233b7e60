/** @file Hashed layers on disk: artefacts, C and ONNX hold the vector of weights only, and compute the same. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { collectStats, plainWeights, quantizeGraph } from "../src/compress/quantize/index.ts";
import { type Graph, GraphBuilder, type Value } from "../src/graph/graph.ts";
import { interpret } from "../src/graph/interpret.ts";
import { add } from "../src/ops/elementwise/add.ts";
import { mul } from "../src/ops/elementwise/mul.ts";
import { conv } from "../src/ops/nn/conv.ts";
import { hashedWeights } from "../src/ops/nn/hashed-weights.ts";
import { linear } from "../src/ops/nn/linear.ts";
import { reshape } from "../src/ops/shape/reshape.ts";
import { slice } from "../src/ops/shape/slice.ts";
import { compiledExecutor } from "../src/optimize/executor.ts";
import { measureModels } from "../src/optimize/measure-models.ts";
import { expandWeights, runPasses } from "../src/passes/index.ts";
import {
  type CompileModelOptions,
  cleanGraph,
  compile,
  loadModel,
  targetGraph,
  toOnnx,
} from "../src/pipeline.ts";
import { createSession } from "../src/runtime/session.ts";
import { emitModule } from "../src/targets/wasm/module.ts";
import { type Tensor, tensorOf, tensorType, toNumbers } from "../src/tensor/tensor.ts";
import { mlp } from "../src/train/models/mlp.ts";
import { studentFromText } from "../src/train/student/recipe.ts";
import { makeRng } from "../src/util/rng.ts";
import { CC, runC, STRICT } from "./support/c-run.ts";
import { runOrt, seededFeeds } from "./support/whole-models.ts";

const teacher = mlp({ inputs: 200, hidden: [160, 100] });
const student = (): Graph => studentFromText(teacher, "hashed=1/8").graph;
const written = (graph: Graph): Graph => runPasses(graph, [expandWeights]);
const moduleBytes = (graph: Graph): Uint8Array => emitModule(compile(graph).program).wasm;

async function run(
  graph: Graph,
  feeds: readonly Tensor[],
  options: CompileModelOptions = {},
): Promise<Tensor> {
  const session = await createSession(compile(graph, options).program);
  const [y] = session.run(feeds);
  session.close();
  return y!;
}

/** The largest difference, relative to the largest number if that is above 1. */
const worst = (a: Tensor | readonly number[], b: Tensor): number => {
  const [x, y] = ["data" in a ? toNumbers(a) : a, toNumbers(b)];
  const scale = Math.max(1, ...y.map(Math.abs));
  return Math.max(...x.map((v, i) => Math.abs(v - y[i]!))) / scale;
};

test("a hashed student takes about its share, in an artefact and as C, and computes the same bits", async (t) => {
  const graph = cleanGraph(student());
  const dense = written(graph);
  const feeds = seededFeeds(graph, 1);
  assert.ok(!graph.nodes.some((n) => n.op.name === "batch_norm"), "normalisations are folded");
  assert.ok(!dense.nodes.some((n) => n.op.name === "hashed_weights"));
  const want = await run(dense, feeds);
  assert.deepEqual((await run(graph, feeds)).data, want.data);
  assert.ok(worst(want, interpret(student(), feeds)[0]!) < 1e-6);
  const [small, large] = [moduleBytes(graph), moduleBytes(dense)];
  assert.ok(large.length > 4.5 * small.length, `${large.length} and ${small.length} bytes`);
  assert.deepEqual(moduleBytes(cleanGraph(student())), small, "the same bytes again");
  const { models } = await measureModels([
    { name: "student", description: "", graph: student(), rows: null },
  ]);
  assert.equal(models[0]!.bytes.total, small.length);
  if (CC === null) return t.diagnostic("no C compiler");
  const jobs = [graph, dense].map((g) => ({ program: compile(g).program, feeds }));
  const [a, b] = await runC(jobs, STRICT);
  assert.deepEqual(a![0]!.data, b![0]!.data);
});

/** A 3 x 3 convolution [1, 8, 8, 12] -> 20 channels, hashed to an eighth; `side`: what else reads the vector. */
function hashedConvolution(scaled: boolean): Graph {
  const rng = makeRng(4);
  const g = new GraphBuilder("conv");
  const x = g.input("x", tensorType("f32", [1, 8, 8, 12]));
  const shape = [20, 3, 3, 12];
  const values = Array.from({ length: 270 }, () => rng.normal());
  const w = g.constant(tensorOf("f32", [270], values), "w");
  const window = { stride: [1, 1], padBegin: [1, 1], padEnd: [1, 1], dilation: [1, 1], groups: 1 };
  let v: Value = g.apply(hashedWeights, [w], { shape, seed: -5 });
  if (scaled) {
    const factors = Array.from({ length: 20 }, () => rng.normal());
    v = g.apply(mul, [v, g.constant(tensorOf("f32", [20, 1, 1, 1], factors))], {});
  }
  g.output(g.apply(conv, [x, v], { layout: "nhwc", ...window }, "conv"), "y");
  return g.build();
}

for (const scaled of [false, true]) {
  test(`a hashed convolution${scaled ? " with factors" : ""} computes the same bits by every primitive`, async () => {
    const graph = hashedConvolution(scaled);
    const dense = written(graph);
    const feeds = seededFeeds(graph, 2);
    const { choice } = compile(graph).nodes.find((n) => n.node.name === "conv")!;
    const names = choice.candidates.map((c) => c.name);
    for (const algorithm of ["igemm", "winograd_4x4", "winograd_2x2", "kn2row", "default"]) {
      assert.ok(
        names.some((n) => n.includes(algorithm)),
        `${algorithm} of ${names}`,
      );
    }
    for (const primitive of new Set(names)) {
      const pins = [{ layer: "conv", primitive }];
      const want = await run(dense, feeds, { pins });
      assert.deepEqual((await run(graph, feeds, { pins })).data, want.data, primitive);
      const { weightsBytes } = emitModule(compile(graph, { pins }).program);
      assert.ok(weightsBytes < 2000, `${primitive}: ${weightsBytes} bytes of 8640`);
    }
  });
}

/** [rows, 90] -> 70, weights and bias in one virtual matrix. */
function hashedLayer(rows: readonly number[], share: number): Graph {
  const rng = makeRng(6);
  const g = new GraphBuilder("layer");
  const x = g.input("x", tensorType("f32", [...rows, 90]));
  const count = Math.ceil(70 * 91 * share);
  const values = Array.from({ length: count }, () => rng.normal() / 10);
  const w = g.constant(tensorOf("f32", [count], values), "w");
  const all = g.apply(hashedWeights, [w], { shape: [70, 91], seed: 9 });
  const part = (first: number, size: number): Value =>
    g.apply(slice, [all], { start: [0, first], size: [70, size], step: [1, 1] });
  const bias = g.apply(reshape, [part(90, 1)], { shape: [70] });
  const y = g.apply(linear, [x, part(0, 90), bias], {}, "fc");
  const shift = Array.from({ length: 70 }, () => rng.normal());
  const factors = Array.from({ length: 70 }, () => rng.normal());
  const scaled = g.apply(mul, [y, g.constant(tensorOf("f32", [70], factors))], {});
  g.output(g.apply(add, [scaled, g.constant(tensorOf("f32", [70], shift))], {}), "y");
  return g.build();
}

test("weights are computed in the product only where memory asks for it", async () => {
  const raw = hashedLayer([2, 3], 1 / 16);
  const graph = cleanGraph(raw);
  const feeds = seededFeeds(graph, 3);
  const free = compile(graph);
  assert.deepEqual(
    free.nodes.filter((n) => n.implementation.includes("hashed")),
    [],
  );
  const limits = { memoryBytes: 14_000 };
  const tight = compile(graph, { limits });
  assert.ok(free.program.memoryBytes > 24_000 && tight.program.memoryBytes <= limits.memoryBytes);
  assert.equal(tight.nodes.find((n) => n.node.name === "fc")!.implementation, "f32_linear_hashed");
  const want = interpret(raw, feeds)[0]!;
  for (const options of [{}, { limits }]) {
    assert.ok(worst(await run(graph, feeds, options), want) < 1e-6);
  }
});

test("ONNX Runtime computes hashed weights from what is stored", async () => {
  for (const graph of [student(), hashedLayer([2, 3], 1 / 4), hashedConvolution(true)]) {
    const feeds = seededFeeds(graph, 5);
    const onnx = toOnnx(graph);
    assert.deepEqual(toOnnx(graph), onnx);
    const want = interpret(graph, feeds)[0]!;
    for (const bytes of [onnx, toOnnx(graph, { weights: "dense" })]) {
      const [got] = await runOrt(bytes, feeds);
      assert.ok(worst(got!, want) < 1e-6, graph.name);
    }
    // Read again, it is as small and computes the same.
    const again = loadModel(onnx).graph;
    assert.ok(worst(interpret(again, feeds)[0]!, want) < 1e-6, graph.name);
    const sizes = [graph, again].map((g) => moduleBytes(cleanGraph(g)).length);
    assert.ok(Math.abs(sizes[0]! - sizes[1]!) < 200, `${graph.name}: ${sizes}`);
    const nodes = targetGraph(cleanGraph(again)).nodes.map((n) => n.op.name);
    assert.ok(nodes.includes("hashed_weights") && !nodes.includes("batch_norm"), `${nodes}`);
  }
  const [small, large] = [toOnnx(student()), toOnnx(student(), { weights: "dense" })];
  assert.ok(large.length > 5 * small.length, `${large.length} and ${small.length} bytes`);
});

test("a student in 8 bits computes its hashed layers on integers", async () => {
  const float = plainWeights(cleanGraph(student()));
  const rows = [1, 2].map((seed) => seededFeeds(float, seed));
  const stats = await collectStats(float, compiledExecutor(), rows);
  const graph = quantizeGraph(float, stats, { observer: { kind: "min-max" } });
  const names = compile(graph).nodes.map((n) => n.implementation);
  assert.equal(names.filter((n) => n.startsWith("i8_linear")).length, 3, `${names}`);
});
