import assert from "node:assert/strict";
import { test } from "node:test";
import { compareTraces, traceCompiled, traceInterpreted } from "./compare.ts";
import { type Graph, GraphBuilder } from "./graph/graph.ts";
import { relu } from "./ops/elementwise/relu.ts";
import { sigmoid } from "./ops/elementwise/sigmoid.ts";
import { conv } from "./ops/nn/conv.ts";
import { targetGraph } from "./pipeline.ts";
import { type Tensor, tensorOf, tensorType } from "./tensor/tensor.ts";
import { makeRng } from "./util/rng.ts";

function reals(shape: readonly number[], seed: number): Tensor {
  const rng = makeRng(seed);
  const n = shape.reduce((a, b) => a * b, 1);
  return tensorOf(
    "f32",
    shape,
    Float32Array.from({ length: n }, () => rng.normal()),
  );
}

/** Two convolutions, ReLU after the first, sigmoid at the end; `seed` draws the second's weights. */
function network(seed: number): Graph {
  const g = new GraphBuilder("n");
  const attrs = {
    layout: "nchw",
    stride: [1, 1],
    padBegin: [1, 1],
    padEnd: [1, 1],
    dilation: [1, 1],
    groups: 1,
  } as const;
  const name = <T extends Parameters<GraphBuilder["setName"]>[0]>(v: T, text: string): T => {
    g.setName(v, text);
    return v;
  };
  const x = g.input("x", tensorType("f32", [1, 3, 6, 5]));
  const a = name(g.apply(conv, [x, g.constant(reals([4, 3, 3, 3], 1))], attrs, "a"), "a");
  const b = name(g.apply(relu, [a], {}, "b"), "b");
  const c = name(g.apply(conv, [b, g.constant(reals([2, 4, 3, 3], seed))], attrs, "c"), "c");
  g.output(g.apply(sigmoid, [c], {}, "d"), "d");
  return g.build();
}

const feeds = [reals([1, 3, 6, 5], 9)];

test("fused and transposed forms agree with the source, interpreted and compiled", async () => {
  const source = network(2);
  const target = targetGraph(source);
  assert.ok(target.nodes.some((n) => n.op.name === "transpose"));
  const before = traceInterpreted(source, feeds);
  for (const trace of [traceInterpreted(target, feeds), await traceCompiled(target, feeds)]) {
    const { nodes, first } = compareTraces(before, trace);
    assert.equal(first, null);
    assert.ok(nodes.length >= 3);
  }
});

test("the first divergence is the changed layer, not what follows from it", () => {
  const { nodes, first } = compareTraces(
    traceInterpreted(network(2), feeds),
    traceInterpreted(network(3), feeds),
  );
  assert.equal(first?.name, "c");
  assert.deepEqual(
    nodes.map((n) => [n.name, n.diverges]),
    [
      ["a", false],
      ["b", false],
      ["c", true],
      ["d", true],
    ],
  );
});

test("a tolerance given counts for every value", () => {
  const a = traceInterpreted(network(2), feeds);
  const b = traceInterpreted(network(3), feeds);
  assert.equal(compareTraces(a, b, 1e9).first, null);
});
