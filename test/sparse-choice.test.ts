/** @file The selection of a network whose layers differ in sparsity: sparse where it pays, dense elsewhere. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { GraphBuilder, type Value } from "../src/graph/graph.ts";
import { conv } from "../src/ops/nn/conv.ts";
import { cleanGraph, compile } from "../src/pipeline.ts";
import { tensorOf, tensorType } from "../src/tensor/tensor.ts";
import { product } from "../src/util/math.ts";
import { makeRng } from "../src/util/rng.ts";

interface Layer {
  readonly name: string;
  readonly out: number;
  readonly kernel?: number;
  readonly depthwise?: boolean;
  readonly stride?: number;
  /** Share of zeros. */
  readonly zeros: number;
}

interface Choice {
  readonly pick: string;
  readonly offered: readonly string[];
}

/** What is chosen for each layer of a chain of convolutions, as family and layout; and the families to choose from. */
function choices(side: number, channels: number, layers: readonly Layer[]): readonly Choice[] {
  const rng = makeRng(7);
  const g = new GraphBuilder("mixed");
  let x: Value = g.input("x", tensorType("f32", [1, side, side, channels]));
  for (const { name, out, kernel = 1, depthwise = false, stride = 1, zeros } of layers) {
    const shape = [out, kernel, kernel, depthwise ? 1 : g.typeOf(x).shape.at(-1)!];
    const values = Array.from({ length: product(shape) }, () =>
      rng.next() < zeros ? 0 : rng.normal(),
    );
    const pad = (kernel - 1) / 2;
    const attrs = {
      layout: "nhwc" as const,
      stride: [stride, stride],
      padBegin: [pad, pad],
      padEnd: [pad, pad],
      dilation: [1, 1],
      groups: depthwise ? out : 1,
      act: { fn: "relu" },
    };
    x = g.apply(conv, [x, g.constant(tensorOf("f32", shape, values))], attrs, name);
  }
  g.output(x, "y");
  const chosen = compile(cleanGraph(g.build())).nodes;
  return layers.map(({ name }) => {
    const { candidate, choice } = chosen.find(({ node }) => node.name === name)!;
    const offered = choice.candidates.map(({ family }) => family);
    return { pick: `${candidate.family} ${candidate.outs?.[0] ?? "plain"}`, offered };
  });
}

test("sparse layers go channels first with what lies between them; dense ones stay as they are", () => {
  const found = choices(16, 32, [
    { name: "dense", out: 64, kernel: 3, zeros: 0 },
    { name: "expand", out: 192, zeros: 0.9 },
    { name: "depthwise", out: 192, kernel: 3, depthwise: true, zeros: 0 },
    { name: "project", out: 64, zeros: 0.9 },
    { name: "full", out: 192, zeros: 0 },
  ]);
  const picks = found.map(({ pick }) => pick);
  assert.deepEqual(picks.slice(1, 4), ["spmm nchw", "depthwise nchw", "spmm nchw"]);
  for (const at of [0, 4]) assert.match(picks[at]!, /^(igemm|im2row|kn2row|winograd\d?) plain$/);
});

test("a layer with few zeros is computed densely, and one whose gain conversions would eat", () => {
  for (const zeros of [0.1, 0.3]) {
    assert.equal(choices(16, 64, [{ name: "a", out: 64, zeros }])[0]!.pick, "igemm plain");
  }
  const [half] = choices(32, 16, [{ name: "a", out: 16, zeros: 0.5 }]);
  assert.equal(half!.pick, "igemm plain");
  assert.ok(half!.offered.includes("spmm"), `${half!.offered}`);
  assert.match(choices(16, 64, [{ name: "a", out: 64, zeros: 0.95 }])[0]!.pick, /^(spmm|blocks)/);
});

test("one pixel is too few for vectors of pixels", () => {
  const [found] = choices(1, 64, [{ name: "a", out: 64, zeros: 0.9 }]);
  assert.ok(!found!.offered.includes("spmm"));
});
