import assert from "node:assert/strict";
import { test } from "node:test";
import { type Graph, GraphBuilder, typeOf, type Value } from "../../graph/graph.ts";
import { interpret, interpretExecutor } from "../../graph/interpret.ts";
import { verifyGraph } from "../../graph/verify.ts";
import { add } from "../../ops/elementwise/add.ts";
import { clip } from "../../ops/elementwise/clip.ts";
import { relu } from "../../ops/elementwise/relu.ts";
import { conv } from "../../ops/nn/conv.ts";
import { linear } from "../../ops/nn/linear.ts";
import { reduceMean } from "../../ops/reduce/reduce-mean.ts";
import { softmax } from "../../ops/reduce/softmax.ts";
import { concat } from "../../ops/shape/concat.ts";
import { dequantizeTensor, quantizeTensor } from "../../tensor/quant.ts";
import { type Tensor, tensorOf, toNumbers } from "../../tensor/tensor.ts";
import { makeRng, type Rng } from "../../util/rng.ts";
import { collectStats } from "./calibrate.ts";
import { correctBias } from "./correct-bias.ts";
import { OBSERVERS } from "./observer.ts";
import { quantizeLayer } from "./params.ts";
import { quantizeGraph } from "./quantize-graph.ts";
import { quantizeIo } from "./quantize-io.ts";
import { compareGraphs, layerSensitivity } from "./sensitivity.ts";
import { storeWeights } from "./store-weights.ts";
import { unpackWeights } from "./unpack-weights.ts";

const random = (rng: Rng, shape: readonly number[], size = 1): Tensor => {
  const n = shape.reduce((a, b) => a * b, 1);
  return tensorOf(
    "f32",
    shape,
    Float64Array.from({ length: n }, () => rng.normal() * size),
  );
};

/** conv, relu, depthwise, clip, residual sum, concat, mean, linear, softmax. */
function smallNet(seed: number): Graph {
  const rng = makeRng(seed);
  const g = new GraphBuilder("net");
  const constant = (shape: readonly number[], size = 0.4): Value =>
    g.constant(random(rng, shape, size));
  const layer = (
    x: Value,
    o: number,
    k: number,
    i: number,
    groups: number,
    name: string,
  ): Value => {
    const pad = [(k - 1) / 2, (k - 1) / 2];
    const attrs = {
      layout: "nhwc" as const,
      stride: [1, 1],
      padBegin: pad,
      padEnd: pad,
      dilation: [1, 1],
      groups,
    };
    return g.apply(conv, [x, constant([o, k, k, i]), constant([o])], attrs, name);
  };
  const x = g.input("x", { dtype: "f32", shape: [1, 6, 6, 3] });
  const a = g.apply(relu, [layer(x, 8, 3, 3, 1, "first")], {});
  const b = g.apply(clip, [layer(a, 8, 3, 1, 8, "depthwise")], { min: 0, max: 6 });
  const c = g.apply(add, [layer(b, 8, 1, 8, 1, "point"), a], {});
  const d = g.apply(concat, [c, a], { axis: 3 });
  const e = g.apply(reduceMean, [d], { axes: [1, 2], keepDims: false });
  const f = g.apply(linear, [e, constant([4, 16]), constant([4])], {}, "head");
  g.output(g.apply(softmax, [f], { axis: 1 }), "y");
  g.output(f, "logits");
  return g.build();
}

const samples = (seed: number, n: number): Tensor[][] => {
  const rng = makeRng(seed);
  return Array.from({ length: n }, () => [random(rng, [1, 6, 6, 3])]);
};

test("an 8-bit network is close to the float one with every observer", async () => {
  const graph = smallNet(1);
  const stats = await collectStats(graph, interpretExecutor, samples(2, 16));
  for (const kind of OBSERVERS) {
    const quantised = quantizeGraph(graph, stats, { observer: { kind } });
    verifyGraph(quantised);
    const { sqnr } = await compareGraphs(graph, quantised, interpretExecutor, samples(3, 8));
    // A moving average of single samples clips more than the others.
    assert.ok(sqnr > (kind === "moving-average" ? 15 : 25), `${kind}: ${sqnr} dB`);
  }
});

test("one integer region: quantize at the input, dequantize at the end, softmax in float", async () => {
  const graph = smallNet(1);
  const stats = await collectStats(graph, interpretExecutor, samples(2, 4));
  const quantised = quantizeGraph(graph, stats);
  const names = quantised.nodes.map((n) => n.op.name);
  assert.deepEqual(names, [
    ...["quantize", "conv", "conv", "conv", "add", "concat", "reduce_mean", "linear"],
    ...["dequantize", "softmax"],
  ]);
  const weights = quantised.nodes
    .filter((n) => n.op === (conv as unknown))
    .map((n) => typeOf(quantised, n.ins[1]!));
  assert.ok(weights.every((t) => t.dtype === "i8" && t.quant?.axis === 0));
});

test("keepFloat leaves layers in float; keeping all leaves the graph as it is", async () => {
  const graph = smallNet(4);
  const stats = await collectStats(graph, interpretExecutor, samples(2, 4));
  const mixed = quantizeGraph(graph, stats, { keepFloat: new Set(["depthwise"]) });
  verifyGraph(mixed);
  const kept = mixed.nodes.find((n) => n.name === "depthwise")!;
  assert.equal(typeOf(mixed, kept.outs[0]!).dtype, "f32");
  const all = new Set(["first", "depthwise", "point", "head"]);
  assert.equal(quantizeGraph(graph, stats, { keepFloat: all }), graph);
});

test("weights are symmetric, channels of zeros keep their bias, a large bias fits", () => {
  const w = tensorOf("f32", [3, 2], [0.5, -1.27, 0, 0, 1e-12, 0]);
  const { weight, bias } = quantizeLayer(w, [0.1, 0.3, 5], 0.02);
  assert.deepEqual(toNumbers(weight).slice(0, 4), [50, -127, 0, 0]);
  const scale = weight.type.quant!.scale;
  toNumbers(bias!).forEach((b, c) => {
    assert.ok(Math.abs(b) <= 2 ** 30);
    assert.ok(Math.abs(b * 0.02 * scale[c]! - [0.1, 0.3, 5][c]!) < 1e-4, `channel ${c}`);
  });
});

test("sensitivity lists each layer once, the worst first", async () => {
  const graph = smallNet(5);
  const stats = await collectStats(graph, interpretExecutor, samples(2, 4));
  const list = await layerSensitivity(graph, stats, interpretExecutor, samples(6, 2));
  assert.deepEqual(list.map((l) => l.name).sort(), ["depthwise", "first", "head", "point"]);
  list.forEach((l, i) => {
    assert.ok(l.mse > 0 && (i === 0 || l.mse <= list[i - 1]!.mse));
  });
});

test("bias correction restores the mean of coarsely quantised layers", async () => {
  const graph = smallNet(7);
  const stats = await collectStats(graph, interpretExecutor, samples(2, 8));
  const quantised = quantizeGraph(graph, stats);
  // Coarser weights than 8 bits would give: every stored weight rounded down to a multiple of 4.
  for (const node of quantised.nodes) {
    const w = quantised.constants.get(node.ins[1] ?? (-1 as Value));
    if (w?.type.dtype !== "i8" || w.type.quant?.axis !== 0) continue;
    for (let i = 0; i < w.data.length; i++) w.data[i] = Math.floor(Number(w.data[i]) / 4) * 4;
  }
  const corrected = await correctBias(graph, quantised, interpretExecutor, samples(2, 8));
  verifyGraph(corrected);
  const shift = (g: Graph): number => {
    let sum = 0;
    for (const feeds of samples(8, 16)) {
      const [a, b] = [interpret(graph, feeds)[1]!, interpret(g, feeds)[1]!].map(toNumbers);
      sum += a!.reduce((s, x, i) => s + x - b![i]!, 0);
    }
    return Math.abs(sum);
  };
  const [before, after] = [shift(quantised), shift(corrected)];
  assert.ok(after < before / 2, `mean shift ${before} before, ${after} after`);
});

test("half-precision storage: large constants only, out-of-range ones stay", () => {
  const g = new GraphBuilder("g");
  const x = g.input("x", { dtype: "f32", shape: [1, 8] });
  const rng = makeRng(1);
  const w = random(rng, [8, 8]);
  const big = random(rng, [8, 8], 1e6);
  const y = g.apply(linear, [x, g.constant(w), g.constant(random(rng, [8]))], {});
  g.output(g.apply(linear, [y, g.constant(big)], {}), "y");
  const graph = g.build();
  const count = (h: Graph, dtype: string) =>
    [...h.constants.values()].filter((t) => t.type.dtype === dtype).length;
  const half = storeWeights(graph, "f16");
  verifyGraph(half);
  assert.deepEqual([count(half, "f16"), count(half, "f32")], [1, 2]);
  const brain = storeWeights(graph, "bf16");
  assert.deepEqual([count(brain, "bf16"), count(brain, "f32")], [2, 1]);
  const feeds = [random(rng, [1, 8])];
  const [a, b] = [interpret(graph, feeds)[0]!, interpret(half, feeds)[0]!].map(toNumbers);
  a!.forEach((v, i) => {
    assert.ok(Math.abs(v - b![i]!) < 2e-3 * Math.max(...a!.map(Math.abs)));
  });
});

test("stored weights are unpacked to what they are read as", () => {
  const graph = smallNet(9);
  const half = storeWeights(graph, "bf16");
  const unpacked = unpackWeights(half);
  verifyGraph(unpacked);
  assert.equal(unpacked.nodes.length, graph.nodes.length);
  const [feeds] = samples(1, 1);
  assert.deepEqual(interpret(unpacked, feeds!), interpret(half, feeds!));
  assert.equal(unpackWeights(graph), graph);
});

test("integer inputs and outputs give the same integers", async () => {
  const graph = smallNet(10);
  const stats = await collectStats(graph, interpretExecutor, samples(2, 4));
  const quantised = quantizeGraph(graph, stats, { softmax: true });
  const integer = quantizeIo(quantised);
  verifyGraph(integer);
  assert.equal(typeOf(integer, integer.inputs[0]!).dtype, "i8");
  assert.ok(integer.outputs.every((v) => typeOf(integer, v).quant !== undefined));
  assert.ok(integer.nodes.every((n) => n.op.name !== "quantize" && n.op.name !== "dequantize"));
  const [feeds] = samples(3, 1);
  const q = typeOf(integer, integer.inputs[0]!);
  const ints = quantizeTensor(feeds![0]!, q.dtype, q.quant!);
  const got = interpret(integer, [ints]).map(dequantizeTensor);
  interpret(quantised, feeds!).forEach((t, i) => {
    assert.deepEqual(got[i]!.data, t.data);
  });
});

test("a clamp after a sum becomes the sum's result range, or its activation", async () => {
  for (const fn of ["relu", "clip"] as const) {
    const rng = makeRng(5);
    const g = new GraphBuilder("residual");
    const x = g.input("x", { dtype: "f32", shape: [4, 16] });
    const side = (): Value => g.apply(linear, [x, g.constant(random(rng, [16, 16]))], {});
    const sum = g.apply(add, [side(), side()], {});
    // Bounds inside the range that calibration sees of the clip's result, widened to hold 0.
    const clamped =
      fn === "relu" ? g.apply(relu, [sum], {}) : g.apply(clip, [sum], { min: 1, max: 2 });
    g.output(g.apply(linear, [clamped, g.constant(random(rng, [3, 16]))], {}), "y");
    const graph = g.build();
    const row = [random(rng, [4, 16])];
    const stats = await collectStats(graph, interpretExecutor, [row]);
    const quantised = quantizeGraph(graph, stats);
    verifyGraph(quantised);
    assert.ok(!quantised.nodes.some((n) => n.op.scalar !== undefined), "no clamp is left");
    const node = quantised.nodes.find((n) => n.op === (add as unknown))!;
    const { act } = node.attrs as { readonly act?: { readonly fn: string } };
    assert.equal(act?.fn, fn === "relu" ? undefined : "clip");
    const quant = typeOf(quantised, node.outs[0]!).quant!;
    assert.equal(quant.zeroPoint[0], -128);
    const [want] = interpret(graph, row);
    const [got] = interpret(quantised, row);
    const range = Math.max(...toNumbers(want!).map(Math.abs));
    toNumbers(want!).forEach((w, i) => {
      const error = Math.abs(w - toNumbers(got!)[i]!);
      assert.ok(error < 0.05 * range, `${fn}: ${error} of ${range}`);
    });
  }
});
