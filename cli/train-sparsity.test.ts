import assert from "node:assert/strict";
import { test } from "node:test";
import {
  applyMasks,
  layerWeights,
  type Masks,
  magnitudeMasks,
  sparsityOf,
} from "../src/compress/sparsity/index.ts";
import type { BatchSource } from "../src/train/batches.ts";
import type { SparsityConfig } from "../src/train/config.ts";
import { crossEntropy } from "../src/train/losses.ts";
import { maskName } from "../src/train/masks.ts";
import { Net } from "../src/train/net.ts";
import { sgd } from "../src/train/optimizers.ts";
import { parametersOf, withOwnParameters } from "../src/train/parameters.ts";
import { gradientName } from "../src/train/sparse/index.ts";
import { type LossInput, trainingStep } from "../src/train/step.ts";
import { sparseTraining } from "./train-sparsity.ts";

const net = new Net("tiny", { seed: 3 });
const h = net.relu(net.conv2d(net.input("image", [2, 6, 6, 2]), 8, "conv", { bias: true }));
const model = net.build(net.linear(net.globalPool(h), 3, "head"));
const RUN = { perEpoch: 10, steps: 60 };
const names = ["conv.weight", "head.weight"];

const loss = ({ g, outputs, input }: Pick<LossInput, "g" | "outputs" | "input">) =>
  crossEntropy(g, Object.values(outputs)[0]!, input("target", [2, 3]));

/** Batches whose first channel alone says something. */
const source: BatchSource = {
  ...{ rows: 2, batchesPerEpoch: 3, close: async () => {} },
  batch: async (step) => {
    const image = Float32Array.from({ length: 144 }, (_, i) => (i % 2 === 0 ? 1 + step : 0));
    return { feeds: { image, target: Float32Array.of(1, 0, 0, 0, 1, 0) }, labels: [0, 1] };
  },
};
const input = { name: "image", shape: [2, 6, 6, 2], planar: false };
const FIRST = { source, input, loss, byBatch: true };

const of = async (
  sparsity: SparsityConfig,
  trains: ((name: string) => boolean) | null = null,
  goesOn = false,
) => {
  const first = goesOn ? null : FIRST;
  const got = await sparseTraining({ sparsity, seed: 1 }, model, trains, RUN, first);
  return { ...got!, masks: got!.step.masks! };
};

const stepOf = ({ step }: Awaited<ReturnType<typeof of>>) =>
  trainingStep(model, { optimizer: sgd(), loss, ...step });

const masksIn = (state: ReadonlyMap<string, ArrayLike<number>>): Masks =>
  new Map(names.map((name) => [name, Uint8Array.from(state.get(maskName(name))!)]));

test("masks hold the share from the start, of the weights that learn", async () => {
  const { masks, between, settled } = await of({ method: "magnitude-layer", ratio: 0.5 });
  assert.equal(between, null);
  assert.equal(settled, 0);
  assert.deepEqual([...masks.keys()], names);
  for (const mask of masks.values()) assert.equal(sparsityOf(new Map([["w", mask]])), 0.5);
  const some = (await of({ method: "nm=2:4" }, (name) => name.startsWith("head"))).masks;
  assert.deepEqual([...some.keys()], ["head.weight"]);
  assert.equal(await sparseTraining({ seed: 1 }, model, null, RUN, FIRST), null);
});

test("gradually, masks grow between the epochs asked for, and reach the share", async () => {
  const made = await of({
    method: "magnitude",
    ratio: 0.75,
    gradual: { begin: 1, end: 3, every: 5 },
  });
  assert.equal(sparsityOf(made.masks), 0);
  assert.equal(made.settled, 30);
  const step = stepOf(made);
  const state = new Map(step.state.map((s) => [s.name, s.initial.data]));
  const change = made.between!(step);
  const share = async (at: number): Promise<number | null> => {
    const next = await change({ step: at, batch: null, state: () => state });
    return next === null ? null : sparsityOf(masksIn(next as never));
  };
  assert.deepEqual(await Promise.all([0, 9, 11, 31].map(share)), [null, null, null, null]);
  const grown = await Promise.all([10, 15, 20, 25, 30].map(share));
  grown.slice(1).forEach((x, i) => {
    assert.ok(x! > grown[i]!, `${grown}`);
  });
  assert.equal(grown.at(-1), 0.75);
});

test("options by the names of the literature become those of the methods", async () => {
  const nm = await of({ method: "nm=2:4", srste: 1e-3 });
  assert.deepEqual(nm.step.maskUpdate, { kind: "sr-ste", n: 2, m: 4, lambda: 1e-3 });
  assert.equal((await of({ method: "nm=2:4" })).step.maskUpdate, undefined);
  const movement = await of({ method: "movement", ratio: 0.5 });
  assert.deepEqual(movement.step.maskUpdate, { kind: "movement" });
  assert.equal(sparsityOf(movement.masks), 0);
  assert.equal(movement.settled, 40);
  const moving = { method: "magnitude-layer", ratio: 0.5, regrow: { share: 0.5, every: 4 } };
  const made = await of(moving);
  assert.deepEqual(made.step.maskUpdate, { kind: "gradients" });
  const step = stepOf(made);
  const state = new Map(step.state.map((s) => [s.name, s.initial.data]));
  for (const name of names) (state.get(gradientName(name)) as Float32Array).fill(1);
  const change = made.between!(step);
  const at = (n: number) => change({ step: n, batch: null, state: () => state });
  // Three quarters of 60 steps are 45: then nothing moves any more.
  assert.deepEqual(await Promise.all([3, 45, 48].map(at)), [null, null, null]);
  const next = masksIn((await at(4)) as never);
  assert.notDeepEqual(next, made.masks);
  assert.equal(sparsityOf(next), 0.5);
  const chance = await of({ ...moving, regrow: { grow: "random" } });
  assert.equal(chance.step.maskUpdate, undefined);
  const both = await of({ method: "lamp", ratio: 0.5, gradual: { every: 8 }, regrow: {} });
  assert.equal(sparsityOf(both.masks), 0);
  assert.deepEqual(both.step.maskUpdate, { kind: "gradients" });
});

test("SNIP keeps what the loss feels in the first batches; a run that goes on has its masks", async () => {
  const { masks } = await of({ method: "snip", ratio: 0.75 });
  assert.equal(sparsityOf(masks), 0.75);
  // [out, height, width, in]: the second channel is always 0.
  const conv = masks.get("conv.weight")!;
  assert.ok(conv.every((bit, i) => i % 2 === 0 || bit === 0));
  const layer = (await of({ method: "snip-layer", ratio: 0.5 })).masks;
  for (const mask of layer.values()) assert.equal(sparsityOf(new Map([["w", mask]])), 0.5);
  assert.equal(sparsityOf((await of({ method: "snip", ratio: 0.5 }, null, true)).masks), 0);
});

test("zeros stay zeros, and only those", async () => {
  const own = withOwnParameters(model);
  const weights = layerWeights(own, parametersOf(own));
  const masks = magnitudeMasks(weights, { sparsity: 0.3, scope: "global" });
  const sparse = applyMasks(own, weights, masks);
  const settings = { sparsity: { method: "zeros" }, seed: 1 };
  const found = await sparseTraining(settings, sparse, null, RUN, FIRST);
  assert.deepEqual(found!.step.masks, masks);
});

test("what cannot be is refused by its key", async () => {
  const refused = (sparsity: SparsityConfig, message: RegExp): Promise<void> =>
    assert.rejects(of(sparsity), message);
  await refused({ method: "l1", ratio: 0.5 }, /sparsity\.method: 'l1' sets no weights to 0/);
  await refused({ method: "magnitude" }, /sparsity\.ratio: missing/);
  await refused({ method: "movement" }, /sparsity\.ratio: missing/);
  await refused({ method: "nm=2:4", ratio: 0.5 }, /says itself how much goes/);
  await refused({ method: "zeros", gradual: {} }, /says itself how much goes/);
  await refused({ method: "lamp", ratio: 0.5, gradual: { end: 7 } }, /from step 0 to 70 of 60/);
  await refused({ method: "lamp", ratio: 0.5, srste: 0.1 }, /sparsity\.srste: 'lamp' keeps no n/);
  await refused({ method: "snip", ratio: 0.5, gradual: {} }, /sparsity\.gradual: 'snip' is before/);
  for (const method of ["blocks", "movement"]) {
    await refused({ method, ratio: 0.5, regrow: {} }, /sparsity\.regrow: masks of/);
  }
  const late = { method: "lamp", ratio: 0.5, regrow: { end: 7 } };
  await refused(late, /sparsity\.regrow\.end: step 70 of 60/);
  const both = { sparsity: { method: "lamp", ratio: 0.5 }, quantize: {}, seed: 1 };
  await assert.rejects(sparseTraining(both, model, null, RUN, FIRST), /not together with quantize/);
  await assert.rejects(
    of({ method: "lamp", ratio: 0.5 }, () => false),
    /no weights to prune/,
  );
});
