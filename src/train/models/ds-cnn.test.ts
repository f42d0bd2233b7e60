import assert from "node:assert/strict";
import { test } from "node:test";
import { elementCount } from "../../tensor/tensor.ts";
import { parametersOf } from "../step.ts";
import { dsCnn } from "./ds-cnn.ts";

const convs = (graph: ReturnType<typeof dsCnn>) =>
  graph.nodes
    .filter((n) => n.op.name === "conv")
    .map((n) => graph.values.get(n.outs[0]!)!.type.shape);

test("DS-CNN has the layers of MLPerf Tiny's: 49 x 10 to 25 x 5, nine convolutions, 22,604 weights folded", () => {
  const graph = dsCnn();
  assert.deepEqual(convs(graph), Array(9).fill([1, 25, 5, 64]));
  const stem = graph.nodes.find((n) => n.name === "stem")!;
  assert.deepEqual(graph.values.get(stem.ins[1]!)!.type.shape, [64, 10, 4, 1]);
  const { padBegin, padEnd } = stem.attrs as Record<string, unknown>;
  assert.deepEqual([padBegin, padEnd], [[4, 1], [5, 1]]); // biome-ignore format: pairs
  const sizes = [...parametersOf(graph).keys()].map((v) =>
    elementCount(graph.values.get(v)!.type.shape),
  );
  const total = sizes.reduce((a, b) => a + b, 0);
  // Of the four vectors of a normalisation only one is left, as the bias.
  const norms = graph.nodes.filter((n) => n.op.name === "batch_norm").length;
  assert.equal(total - norms * 64 * (sizesOfNorm(graph) - 1), 22604);
});

/** How many vectors of a normalisation count as parameters. */
function sizesOfNorm(graph: ReturnType<typeof dsCnn>): number {
  return [...parametersOf(graph).values()].filter((n) => n.startsWith("stem.norm.")).length;
}

test("DS-CNN in other sizes", () => {
  const graph = dsCnn({ batch: 3, classes: 5, frames: 31, features: 20, width: 24, blocks: 2 });
  assert.deepEqual(convs(graph), Array(5).fill([3, 16, 10, 24]));
  assert.deepEqual(graph.values.get(graph.outputs[0]!)!.type.shape, [3, 5]);
  assert.throws(() =>
    dsCnn({ width: 8, input: "x", front: { shape: [1, 4], features: (_, x) => x } }),
  );
});
