import assert from "node:assert/strict";
import { test } from "node:test";
import { GraphBuilder } from "../../graph/graph.ts";
import { conv } from "../../ops/nn/conv.ts";
import { linear } from "../../ops/nn/linear.ts";
import { tensorOf, tensorType } from "../../tensor/tensor.ts";
import { product } from "../../util/math.ts";
import { makeRng } from "../../util/rng.ts";
import { gradualSparsity, isPruningStep, magnitudeMasks, nmMasks } from "./magnitude.ts";
import { applyMasks, type LayerWeights, layerWeights, sparsityOf } from "./weights.ts";

const layer = (
  name: string,
  shape: readonly number[],
  values: readonly number[],
  inAxis = 1,
): LayerWeights => ({
  name,
  value: 0 as LayerWeights["value"],
  tensor: tensorOf("f32", shape, values),
  inAxis,
  outAxis: 0,
});

const random = (name: string, shape: readonly number[], scale: number, seed: number) => {
  const rng = makeRng(seed);
  return layer(
    name,
    shape,
    Array.from({ length: product(shape) }, () => scale * rng.normal()),
  );
};

test("weights of layers that sum over inputs, with their axes", () => {
  const g = new GraphBuilder("t");
  const x = g.input("x", tensorType("f32", [1, 4, 4, 6]));
  const zeros = (name: string, ...shape: number[]) =>
    g.constant(tensorOf("f32", shape, new Float32Array(product(shape))), name);
  const window = { stride: [1, 1], padBegin: [0, 0], padEnd: [0, 0], dilation: [1, 1] };
  const nhwc = { layout: "nhwc", ...window } as const;
  const a = g.apply(conv, [x, zeros("a", 8, 1, 1, 6), zeros("bias", 8)], { ...nhwc, groups: 1 });
  const b = g.apply(conv, [a, zeros("deep", 8, 3, 3, 1)], { ...nhwc, groups: 8 });
  const c = g.apply(conv, [b, zeros("grouped", 4, 1, 1, 4)], { ...nhwc, groups: 2 });
  g.output(g.apply(linear, [c, zeros("d", 3, 4)], {}));
  const found = layerWeights(g.build()).map((w) => [w.name, w.inAxis, w.outAxis]);
  assert.deepEqual(found, [
    ["a", 3, 0],
    ["grouped", 3, 0],
    ["d", 1, 0],
  ]);
});

test("the smallest weights go: of all layers, or of each", () => {
  const weights = [layer("a", [2, 2], [1, -4, 2, 8]), layer("b", [2, 2], [0.5, 0.25, -3, 0.125])];
  const of = (scope: "global" | "layer", sparsity = 0.5): number[][] =>
    [...magnitudeMasks(weights, { sparsity, scope }).values()].map((m) => [...m]);
  assert.deepEqual(of("global"), [
    [0, 1, 1, 1],
    [0, 0, 1, 0],
  ]);
  assert.deepEqual(of("layer"), [
    [0, 1, 0, 1],
    [1, 0, 1, 0],
  ]);
  assert.deepEqual(of("global", 0).flat(), new Array(8).fill(1));
  assert.deepEqual(of("global", 1).flat(), new Array(8).fill(0));
});

test("equal weights go in order until the share is met", () => {
  const weights = [layer("a", [2, 3], [1, 1, 1, 1, 1, 1])];
  const [mask] = magnitudeMasks(weights, { sparsity: 0.5, scope: "global" }).values();
  assert.deepEqual([...mask!], [0, 0, 0, 1, 1, 1]);
});

test("LAMP scores are squares over the sum of no smaller squares", () => {
  const weights = [layer("a", [1, 3], [3, 1, 2]), layer("b", [1, 3], [0.3, 0.1, 0.1])];
  // Scores of a: 9/9, 1/14, 4/13. Of b: 1, 0.01/0.10 for the first of the equal ones, then 0.01/0.11.
  const [a, b] = [...magnitudeMasks(weights, { sparsity: 2 / 6, scope: "lamp" }).values()];
  assert.deepEqual([...a!], [1, 0, 1]);
  assert.deepEqual([...b!], [1, 1, 0]);
  const scaled = [weights[0]!, layer("b", [1, 3], [300, 100, 100])];
  const again = [...magnitudeMasks(scaled, { sparsity: 2 / 6, scope: "lamp" }).values()];
  assert.deepEqual(again, [a, b], "a layer's scale does not matter");
});

test("every scope meets its share", () => {
  const weights = [random("a", [16, 9], 1, 1), random("b", [40, 16], 0.1, 2)];
  for (const scope of ["global", "layer", "lamp"] as const) {
    for (const sparsity of [0.3, 0.9]) {
      const got = sparsityOf(magnitudeMasks(weights, { sparsity, scope }));
      assert.ok(Math.abs(got - sparsity) < 0.004, `${scope} ${sparsity}: ${got}`);
    }
  }
});

test("1x4 blocks of neighbouring outputs go together", () => {
  const w = random("a", [10, 6], 1, 3);
  const [mask] = magnitudeMasks([w], { sparsity: 0.5, scope: "layer", grain: "block" }).values();
  for (let k = 0; k < 6; k++) {
    for (let o = 0; o < 10; o++) assert.equal(mask![o * 6 + k], mask![(o - (o % 4)) * 6 + k]);
  }
  const blocks = Array.from({ length: 18 }, (_, i) => mask![4 * Math.floor(i / 6) * 6 + (i % 6)]!);
  assert.equal(
    blocks.reduce((a, b) => a + b, 0),
    9,
  );
});

test("N:M keeps the largest of every group of input channels", () => {
  const w = random("a", [3, 8, 3, 3], 1, 4);
  const mask = nmMasks([w], 2, 4).get("a")!;
  for (let o = 0; o < 3; o++) {
    for (let tap = 0; tap < 9; tap++) {
      for (let i = 0; i < 8; i += 4) {
        const at = [0, 1, 2, 3].map((k) => (o * 8 + i + k) * 9 + tap);
        const kept = at
          .filter((k) => mask[k] === 1)
          .map((k) => Math.abs(w.tensor.data[k] as number));
        const gone = at
          .filter((k) => mask[k] === 0)
          .map((k) => Math.abs(w.tensor.data[k] as number));
        assert.equal(kept.length, 2);
        assert.ok(Math.min(...kept) >= Math.max(...gone));
      }
    }
  }
  assert.equal(sparsityOf(nmMasks([random("b", [2, 3], 1, 5)], 1, 4)), 0, "too few inputs");
  assert.throws(() => nmMasks([w], 4, 4), /0 < n < m/);
});

test("the gradual schedule is a cubic between its ends", () => {
  const schedule = { begin: 100, end: 500, initial: 0.2, final: 0.9, every: 50 };
  const at = (step: number): number => gradualSparsity(schedule, step);
  assert.equal(at(0), 0.2);
  assert.equal(at(100), 0.2);
  assert.ok(Math.abs(at(300) - (0.9 - 0.7 * 0.125)) < 1e-12);
  assert.equal(at(500), 0.9);
  assert.equal(at(900), 0.9);
  for (let s = 0; s < 600; s += 10) assert.ok(at(s + 10) >= at(s));
  const steps = Array.from({ length: 700 }, (_, s) => s).filter((s) => isPruningStep(schedule, s));
  assert.deepEqual(steps, [100, 150, 200, 250, 300, 350, 400, 450, 500]);
});

test("masks put zeros into a graph, and refuse another model's", () => {
  const g = new GraphBuilder("t");
  const x = g.input("x", tensorType("f32", [1, 3]));
  const w = g.constant(tensorOf("f32", [2, 3], [1, 2, 3, -4, 5, -6]), "w");
  g.output(g.apply(linear, [x, w], {}));
  const graph = g.build();
  const weights = layerWeights(graph);
  const half = magnitudeMasks(weights, { sparsity: 0.5, scope: "global" });
  const sparse = applyMasks(graph, weights, half);
  assert.deepEqual([...sparse.constants.get(w)!.data], [0, 0, 0, -4, 5, -6]);
  assert.throws(() => applyMasks(graph, weights, new Map([["w", new Uint8Array(5)]])), /6 weights/);
  assert.throws(
    () => applyMasks(graph, weights, new Map([["v", new Uint8Array(6)]])),
    /no weights/,
  );
});
