import assert from "node:assert/strict";
import { test } from "node:test";
import { smallClassifier } from "../test/support/models.ts";
import { storeWeights } from "./compress/quantize/index.ts";
import type { Graph } from "./graph/graph.ts";
import { cleanGraph, loadModel } from "./pipeline.ts";
import { pruneMethod, pruneModel } from "./prune.ts";
import { toNumbers } from "./tensor/tensor.ts";

const { graph } = loadModel(smallClassifier());

const by = (method: string, amount?: Parameters<typeof pruneModel>[1]["amount"], roundTo = 1) =>
  pruneModel(graph, {
    method: pruneMethod(method)!,
    roundTo,
    ...(amount !== undefined && { amount }),
  });

test("targets of MACs, bytes and time are met, channels rounded", () => {
  const macs = by("random", { macs: 2000 });
  assert.ok(macs.macs[1] <= 2000 && macs.macs[1] > 1000, `${macs.macs}`);
  const bytes = by("l2", { bytes: 300 });
  assert.ok(bytes.bytes[1] <= 300 && bytes.bytes[1] > 200, `${bytes.bytes}`);
  const [before] = macs.predictedMs;
  const time = by("fpgm", { latencyMs: 0.9 * before });
  assert.ok(time.predictedMs[1] <= 0.9 * before && time.removed > 0);
  assert.deepEqual(by("l1", { ratio: 0.3 }, 4).layers[0]!.channels, [8, 4]);
  assert.throws(() => by("l1", { macs: 1 }), { code: "E_UNMET" });
});

test("single weights become 0 in place", () => {
  for (const method of ["magnitude", "magnitude-layer", "lamp", "blocks"]) {
    const got = by(method, { ratio: 0.5 });
    assert.ok(Math.abs(got.removed - 0.5) < 0.05, `${method}: ${got.removed}`);
    assert.deepEqual(got.macs[0], got.macs[1]);
    assert.ok(got.layers.some((l) => l.zeros[1] > 0.2));
  }
  const [first, second] = by("nm=2:4").layers;
  assert.equal(first!.zeros[1], 0, "it has one input");
  assert.equal(second!.zeros[1], 0.5);
});

test("what a method needs is said", () => {
  assert.throws(() => by("l1"), /how much is to go/);
  assert.throws(() => by("magnitude", { macs: 100 }), /pruned to a share/);
  assert.throws(() => by("bn", { ratio: 0.5 }), /batch normalisation/);
  assert.equal(pruneMethod("l3"), null);
});

test("weights stored in fewer bits are judged by what they stand for", () => {
  const stored = storeWeights(cleanGraph(graph), "f16");
  const want = by("l1", { ratio: 0.5 }).graph;
  const got = pruneModel(stored, {
    method: { kind: "channels", criterion: "l1" },
    amount: { ratio: 0.5 },
  }).graph;
  const biggest = (g: Graph): number[] => {
    const conv = g.nodes.find((n) => n.op.name === "conv")!;
    return toNumbers(g.constants.get(conv.ins[1]!)!);
  };
  biggest(want).forEach((w, i) => {
    assert.ok(Math.abs(w - biggest(got)[i]!) < 1e-3);
  });
});
