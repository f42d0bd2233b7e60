import assert from "node:assert/strict";
import { test } from "node:test";
import { sparsityOf } from "../src/compress/sparsity/index.ts";
import type { SparsityConfig } from "../src/train/config.ts";
import { crossEntropy } from "../src/train/losses.ts";
import { maskName } from "../src/train/masks.ts";
import { Net } from "../src/train/net.ts";
import { sgd } from "../src/train/optimizers.ts";
import { trainingStep } from "../src/train/step.ts";
import { sparseTraining } from "./train-sparsity.ts";

const net = new Net("tiny", { seed: 3 });
const h = net.relu(net.conv2d(net.input("image", [2, 6, 6, 2]), 8, "conv", { bias: true }));
const model = net.build(net.linear(net.globalPool(h), 3, "head"));
const RUN = { perEpoch: 10, steps: 60 };

const of = (sparsity: SparsityConfig, trains: ((name: string) => boolean) | null = null) =>
  sparseTraining({ sparsity }, model, trains, RUN)!;

test("masks hold the share from the start, of the weights that learn", () => {
  const { masks, hook } = of({ method: "magnitude-layer", ratio: 0.5 });
  assert.equal(hook, undefined);
  assert.equal(masks.size, 2);
  for (const mask of masks.values()) assert.equal(sparsityOf(new Map([["w", mask]])), 0.5);
  const some = of({ method: "nm=2:4" }, (name) => name.startsWith("head")).masks;
  assert.deepEqual(
    [...some.keys()].map((n) => n.startsWith("head")),
    [true],
  );
  assert.equal(sparseTraining({}, model, null, RUN), null);
});

test("gradually, masks grow between the epochs asked for, and reach the share", async () => {
  const { masks, hook } = of({
    method: "magnitude",
    ratio: 0.75,
    gradual: { begin: 1, end: 3, every: 5 },
  });
  assert.equal(sparsityOf(masks), 0);
  const step = trainingStep(model, {
    optimizer: sgd(),
    loss: ({ g, outputs, input }) =>
      crossEntropy(g, Object.values(outputs)[0]!, input("target", [2, 3])),
    masks,
  });
  const state = new Map(step.state.map((s) => [s.name, s.initial.data]));
  const change = hook!(step);
  const share = async (at: number): Promise<number | null> => {
    const next = await change({ step: at, batch: null, state: () => state });
    if (next === null) return null;
    const now = [...masks.keys()].map((name) => {
      const bits = next.get(maskName(name)) as Float32Array;
      return [name, Uint8Array.from(bits)] as const;
    });
    return sparsityOf(new Map(now));
  };
  assert.deepEqual(await Promise.all([0, 9, 11, 31].map(share)), [null, null, null, null]);
  const grown = await Promise.all([10, 15, 20, 25, 30].map(share));
  grown.slice(1).forEach((x, i) => {
    assert.ok(x! > grown[i]!, `${grown}`);
  });
  assert.equal(grown.at(-1), 0.75);
});

test("what cannot be is refused by its key", () => {
  const refused = (sparsity: SparsityConfig, message: RegExp): void => {
    assert.throws(() => of(sparsity), message);
  };
  refused({ method: "l1", ratio: 0.5 }, /sparsity\.method: 'l1' sets no weights to 0/);
  refused({ method: "magnitude" }, /sparsity\.ratio: missing/);
  refused({ method: "nm=2:4", ratio: 0.5 }, /says itself how much goes/);
  refused({ method: "lamp", ratio: 0.5, gradual: { end: 7 } }, /from step 0 to 70 of 60/);
  const both = { sparsity: { method: "lamp", ratio: 0.5 }, quantize: {} };
  assert.throws(() => sparseTraining(both, model, null, RUN), /not together with quantize/);
  assert.throws(() => of({ method: "lamp", ratio: 0.5 }, () => false), /no weights to prune/);
});
