/** @file Kinds of parameters and their decay, constants that must not be shared, averages of weights, limits on gradients. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Graph, Value } from "../graph/graph.ts";
import { cleanGraph } from "../pipeline.ts";
import { makeRng } from "../util/rng.ts";
import { crossEntropy } from "./losses.ts";
import { resnet8 } from "./models/resnet8.ts";
import { wideResnet } from "./models/wide-resnet.ts";
import { sgd } from "./optimizers.ts";
import { decayBy, parametersOf, tagsOf, withOwnParameters } from "./parameters.ts";
import { cosineRate, inTurn, oneCycle, stepRate, warmUp } from "./schedules.ts";
import { type StepOptions, trainingStep } from "./step.ts";
import { createTrainer } from "./trainer.ts";

const small = (): Graph => wideResnet({ depth: 10, width: 1, side: 8, batch: 2, seed: 3 });

function feeds() {
  const rng = makeRng(7);
  const target = new Float32Array(20);
  target[3] = 1;
  target[18] = 1;
  return { image: Float32Array.from({ length: 2 * 8 * 8 * 3 }, () => rng.normal()), target };
}

async function trainerOf(model: Graph, options: Partial<StepOptions> = {}) {
  const optimizer = sgd({ momentum: 0 });
  const step = trainingStep(model, {
    optimizer,
    loss: ({ g, outputs, input }) => crossEntropy(g, outputs["logits"]!, input("target", [2, 10])),
    ...options,
  });
  return { step, trainer: await createTrainer(model, step, optimizer) };
}

test("tags say what decays by default", async () => {
  const model = resnet8();
  const names = parametersOf(model);
  const tags = new Map([...tagsOf(model)].map(([v, tag]) => [names.get(v)!, tag]));
  assert.equal(tags.get("stem.weight"), "weight");
  assert.equal(tags.get("head.weight"), "weight");
  assert.equal(tags.get("head.bias"), "bias");
  assert.equal(tags.get("stem.norm.gamma"), "other");
  const rule = decayBy(
    [
      [/^head/, 0.5],
      ["weight", 0.1],
    ],
    0.01,
  );
  const decay = (name: string): number => {
    const [v] = [...names].find(([, n]) => n === name)!;
    return rule(name, model.constants.get(v)!, tags.get(name)!);
  };
  assert.deepEqual(["head.bias", "stem.weight", "stem.norm.beta"].map(decay), [0.5, 0.1, 0.01]);
});

test("a number decays weights alone", async () => {
  const without = await trainerOf(small());
  const decayed = await trainerOf(small(), { decay: 0.1 });
  for (const { trainer } of [without, decayed]) trainer.step(feeds(), 0.1);
  const [a, b] = [without.trainer.state(), decayed.trainer.state()];
  const differs = (name: string): boolean => a.get(name)!.some((x, i) => x !== b.get(name)![i]);
  assert.ok(differs("stem.weight") && differs("head.weight"));
  for (const name of ["head.bias", "norm.gamma", "norm.beta"]) assert.ok(!differs(name), name);
  for (const { trainer } of [without, decayed]) trainer.close();
});

test("constants that are equal at the start are learned apart", async () => {
  const cleaned = cleanGraph(small());
  const own = withOwnParameters(cleaned);
  const shared = (graph: Graph): number => {
    const uses = graph.nodes.flatMap((n) => (n.op.parameters ?? []).map((p) => n.ins[p]));
    const constants = uses.filter((v): v is Value => v !== undefined && graph.constants.has(v));
    return constants.length - new Set(constants).size;
  };
  assert.ok(shared(cleaned) > 0);
  assert.equal(shared(own), 0);
  assert.equal(withOwnParameters(own), own);
  const { step, trainer } = await trainerOf(cleaned);
  assert.equal(new Set(step.state.map((s) => s.name)).size, step.state.length);
  trainer.step(feeds(), 0.1);
  const trained = trainer.model();
  assert.equal(trained.nodes.length, cleaned.nodes.length);
  assert.ok(step.state.every((s) => s.constant === undefined || trained.constants.has(s.constant)));
  trainer.close();
});

test("averages follow the weights and the running averages, and forget the start", async () => {
  const KEEP = 0.3;
  const { trainer, step } = await trainerOf(small(), { average: KEEP });
  const names = step.state.filter((s) => s.constant !== undefined).map((s) => s.name);
  assert.ok(names.includes("norm.mean") && names.includes("stem.weight"));
  const want = new Map<string, number[]>();
  for (let n = 1; n <= 6; n++) {
    trainer.step(feeds(), 0.1);
    const keep = Math.min(KEEP, (n - 1) / (n + 8));
    const state = trainer.state();
    for (const name of names) {
      const fresh = [...(state.get(name) as Float32Array)];
      const old = want.get(name) ?? fresh;
      want.set(
        name,
        fresh.map((x, i) => keep * old[i]! + (1 - keep) * x),
      );
    }
  }
  const state = trainer.state();
  for (const name of names) {
    const got = state.get(`${name}:average`)!;
    want.get(name)!.forEach((x, i) => {
      assert.ok(Math.abs(Number(got[i]) - x) <= 1e-5 * Math.max(1, Math.abs(x)), name);
    });
  }
  const model = trainer.model({ averaged: true });
  const constant = step.state.find((s) => s.name === "head.weight")!.constant!;
  assert.deepEqual(model.constants.get(constant)!.data, state.get("head.weight:average"));
  assert.deepEqual(trainer.model().constants.get(constant)!.data, state.get("head.weight"));
  trainer.close();
  const plain = await trainerOf(small());
  assert.throws(() => plain.trainer.model({ averaged: true }), { code: "E_ARGUMENT" });
  plain.trainer.close();
});

test("gradients are limited element by element, then together", async () => {
  const RATE = 1;
  const moved = async (options: Partial<StepOptions>): Promise<number[]> => {
    const { trainer, step } = await trainerOf(small(), options);
    const before = trainer.state();
    trainer.step(feeds(), RATE);
    const after = trainer.state();
    trainer.close();
    return step.trained.flatMap((name) =>
      [...(after.get(name) as Float32Array)].map((x, i) => Number(before.get(name)![i]) - x),
    );
  };
  const norm = (d: readonly number[]): number => Math.hypot(...d);
  const free = await moved({});
  const limit = Math.max(...free.map(Math.abs)) / 4;
  const byValue = await moved({ clipValue: limit });
  byValue.forEach((d, i) => {
    const want = Math.max(-limit, Math.min(limit, free[i]!));
    assert.ok(Math.abs(d - want) < 1e-6);
  });
  const byNorm = await moved({ clipNorm: norm(free) / 3 });
  assert.ok(Math.abs(norm(byNorm) / (norm(free) / 3) - 1) < 1e-3);
});

test("schedules go on from one another", () => {
  const warm = warmUp(5, cosineRate(1, 10));
  assert.deepEqual([warm(0), warm(4), warm(5)], [0.2, 1, 1]);
  assert.ok(Math.abs(warm(10) - 0.5) < 1e-12 && warm(15) < 1e-12);
  const cycle = oneCycle(2, 10);
  const all = inTurn([5, warm], [10, cycle], [0, stepRate(0.5, [3], 0.1)]);
  assert.deepEqual([0, 4, 5, 14, 15, 18].map(all), [
    warm(0),
    warm(4),
    cycle(0),
    cycle(9),
    0.5,
    0.05,
  ]);
});
