import assert from "node:assert/strict";
import { test } from "node:test";
import { applyMasks, layerWeights, magnitudeMasks } from "../compress/sparsity/index.ts";
import type { Graph } from "../graph/graph.ts";
import type { TypedArray } from "../tensor/dtype.ts";
import { makeRng } from "../util/rng.ts";
import { crossEntropy } from "./losses.ts";
import { maskName, withMasks } from "./masks.ts";
import { Net } from "./net.ts";
import { sgd } from "./optimizers.ts";
import { parametersOf, trainingStep } from "./step.ts";
import { createTrainer } from "./trainer.ts";

const ROWS = 8;

function network(): Graph {
  const net = new Net("tiny", { seed: 3 });
  const x = net.input("image", [ROWS, 6, 6, 2]);
  const h = net.relu(net.conv2d(x, 8, "conv", { bias: true }));
  return net.build(net.linear(net.globalPool(h), 3, "head"));
}

const masksOf = (graph: Graph, sparsity: number) =>
  magnitudeMasks(layerWeights(graph, parametersOf(graph)), { sparsity, scope: "layer" });

async function train(graph: Graph, sparsity: number | null) {
  const optimizer = sgd({ momentum: 0.9 });
  const step = trainingStep(graph, {
    optimizer,
    loss: ({ g, outputs, input }) =>
      crossEntropy(g, Object.values(outputs)[0]!, input("target", [ROWS, 3])),
    decay: 1e-3,
    ...(sparsity === null ? {} : { masks: masksOf(graph, sparsity) }),
  });
  return createTrainer(graph, step, optimizer);
}

/** A seeded batch whose class is the sign pattern of two means. */
function feeds(seed: number) {
  const rng = makeRng(seed);
  const image = Float32Array.from({ length: ROWS * 72 }, () => rng.normal());
  const target = new Float32Array(ROWS * 3);
  for (let r = 0; r < ROWS; r++) {
    const shift = rng.int(3);
    for (let i = 0; i < 72; i++) image[r * 72 + i]! += shift - 1;
    target[r * 3 + shift] = 1;
  }
  return { image, target };
}

const zerosOf = (data: TypedArray): number =>
  Array.from(data as Float32Array).filter((x) => x === 0).length;

test("masked weights stay 0 while the others learn", async () => {
  const graph = network();
  const trainer = await train(graph, 0.75);
  const losses: number[] = [];
  for (let s = 0; s < 30; s++) losses.push(trainer.step(feeds(s), 0.1).loss);
  const state = trainer.state();
  const masks = masksOf(graph, 0.75);
  for (const [name, mask] of masks) {
    const w = state.get(name)!;
    mask.forEach((bit, i) => {
      assert.ok(bit === 1 || w[i] === 0, `${name}[${i}] is ${w[i]}`);
    });
    assert.ok(zerosOf(w) < 0.8 * w.length);
  }
  const mean = (list: readonly number[]): number => list.reduce((a, b) => a + b) / list.length;
  assert.ok(mean(losses.slice(-8)) < 0.8 * mean(losses.slice(0, 8)), losses.join());
  const weights = layerWeights(graph, parametersOf(graph));
  const model = trainer.model();
  for (const { value } of weights) assert.ok(zerosOf(model.constants.get(value)!.data) > 0);
  trainer.close();
});

test("masks of ones change no bit of a dense training", async () => {
  const graph = network();
  const [dense, full] = [await train(graph, null), await train(graph, 0)];
  for (let s = 0; s < 5; s++) {
    assert.equal(dense.step(feeds(s), 0.1).loss, full.step(feeds(s), 0.1).loss);
  }
  for (const [name, data] of dense.state()) assert.deepEqual(full.state().get(name), data, name);
  dense.close();
  full.close();
});

test("a loop changes masks in the state", async () => {
  const graph = network();
  const trainer = await train(graph, 0);
  trainer.step(feeds(0), 0.1);
  const trained = trainer.model();
  const masks = masksOf(trained, 0.5);
  trainer.restore(withMasks(trainer.state(), masks), trainer.steps);
  const names = parametersOf(trained);
  const want = applyMasks(trained, layerWeights(trained, names), masks);
  for (const [v, name] of names) {
    if (!masks.has(name)) continue;
    assert.deepEqual(trainer.state().get(name), want.constants.get(v)!.data, name);
    assert.ok(zerosOf(trainer.state().get(`${name}:momentum`)!) > 0);
  }
  trainer.step(feeds(1), 0.1);
  for (const [name, mask] of masks) {
    const w = trainer.state().get(name)!;
    mask.forEach((bit, i) => {
      assert.ok(bit === 1 || w[i] === 0);
    });
  }
  assert.throws(
    () => withMasks(trainer.state(), new Map([["bias", new Uint8Array(3)]])),
    /without/,
  );
  assert.ok(trainer.state().has(maskName([...masks.keys()][0]!)));
  trainer.close();
});
