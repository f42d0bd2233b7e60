/** @file Substitutes in trained networks have the sizes of Moonshine's blocks, and keep batch normalisations. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { substitute, substituteCost } from "../../src/compress/substitute/index.ts";
import { macsOf, parameterCount } from "../../src/graph/count.ts";
import type { Graph } from "../../src/graph/graph.ts";
import { interpret } from "../../src/graph/interpret.ts";
import { toNumbers } from "../../src/tensor/tensor.ts";
import { wideResnet } from "../../src/train/models/wide-resnet.ts";
import { seededFeeds } from "../support/whole-models.ts";
import { WRN_40_2, WRN_40_2_TWO } from "../support/wrn-sizes.ts";

/** Sizes with a block in the place of every 3 x 3 convolution but the first. */
function sizesWith(graph: Graph, block: string): readonly [number, number] {
  const { layers, kept } = substituteCost(graph, { block, between: "relu", always: true });
  assert.deepEqual(kept, []);
  const saved = (what: "params" | "macs"): number =>
    layers.reduce((n, l) => n + l.before[what] - l.after[what], 0);
  return [parameterCount(graph) - saved("params"), macsOf(graph) - saved("macs")];
}

test("G, B and BG in every place of WRN have the golden sizes", () => {
  const graph = wideResnet({ depth: 40, width: 2 });
  const grouped = Object.entries(WRN_40_2).filter(([name]) => name.startsWith("G("));
  const all = [...grouped, ...Object.entries(WRN_40_2_TWO)];
  assert.equal(all.length, 19);
  for (const [block, want] of all) assert.deepEqual(sizesWith(graph, block), want, block);
  // One bottleneck a block, at the width of Moonshine's example.
  const one = wideResnet({ depth: 28, width: 10, blocks: "BG(2,M/8)" });
  assert.deepEqual([parameterCount(one), macsOf(one)], [2_455_514, 399_563_008]);
});

test("the graph has the size that was said, and a student's form is the golden one", () => {
  const graph = wideResnet({ depth: 10, width: 1, side: 16 });
  const found = substitute(graph, { block: "G(N)", between: "relu" });
  assert.equal(parameterCount(found.graph), 14_250);
  for (const block of ["DW", "BG(2,4)", "GC(4)"]) {
    const { layers, graph: after } = substitute(graph, { block });
    assert.equal(layers.length, 6);
    const cut = layers.reduce((n, l) => n + l.before.params - l.after.params, 0);
    assert.equal(parameterCount(after), parameterCount(graph) - cut, block);
    assert.equal(
      macsOf(after),
      macsOf(graph) - layers.reduce((n, l) => n + l.before.macs - l.after.macs, 0),
    );
  }
});

test("one group computes what the network computed; more come less near", () => {
  const graph = wideResnet({ depth: 10, width: 1, side: 8 });
  const feeds = seededFeeds(graph, 3);
  const logits = (g: typeof graph): number[] => Array.from(toNumbers(interpret(g, feeds)[0]!));
  const want = logits(graph);
  const far = (block: string): number => {
    const { graph: after, layers } = substitute(graph, { block, always: true });
    const got = logits(after);
    assert.ok(layers.every((l) => l.error >= 0 && l.error < 1));
    return Math.hypot(...got.map((y, i) => y - want[i]!)) / Math.hypot(...want);
  };
  // Layers from 16 to 32 channels have rank 32 and only 16 channels between.
  const equal = (name: string): string => (/conv2/.test(name) ? "G(1)" : "S");
  const exact = substitute(graph, { block: equal, always: true }).graph;
  logits(exact).forEach((y, i) => {
    assert.ok(Math.abs(y - want[i]!) < 1e-4);
  });
  assert.ok(far("G(2)") <= far("DW"));
});
