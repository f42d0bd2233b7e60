/** @file Substitutes in trained networks have the sizes of Moonshine's blocks, and keep batch normalisations. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { substitute, substituteCost } from "../../src/compress/substitute/index.ts";
import { macsOf, parameterCount } from "../../src/graph/count.ts";
import { interpret } from "../../src/graph/interpret.ts";
import { toNumbers } from "../../src/tensor/tensor.ts";
import { wideResnet } from "../../src/train/models/wide-resnet.ts";
import { seededFeeds } from "../support/whole-models.ts";
import { WRN_40_2 } from "../support/wrn-sizes.ts";

test("G in every place of WRN-40-2 has the golden size", () => {
  const graph = wideResnet({ depth: 40, width: 2 });
  const types = Object.keys(WRN_40_2).filter((name) => name.startsWith("G("));
  assert.equal(types.length, 9);
  for (const block of types) {
    const { layers, kept } = substituteCost(graph, { block, between: "relu", always: true });
    assert.deepEqual([layers.length, kept], [36, []]);
    const saved = (what: "params" | "macs"): number =>
      layers.reduce((n, l) => n + l.before[what] - l.after[what], 0);
    const [params, macs] = [parameterCount(graph), macsOf(graph)];
    const got = [params - saved("params"), macs - saved("macs")];
    assert.deepEqual(got, WRN_40_2[block], block);
  }
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
