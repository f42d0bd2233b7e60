/** @file Gradual pruning in the loop: the schedule's sparsity, and the same bits after a resumption. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { fitTiny, tinyNet } from "../../../test/support/sparse-training.ts";
import {
  fullMasks,
  gradualSparsity,
  layerWeights,
  sparsityOf,
} from "../../compress/sparsity/index.ts";
import { hooksInTurn, type StateHook } from "../between.ts";
import { maskName } from "../masks.ts";
import { parametersOf } from "../parameters.ts";
import { gradualPruning } from "./gradual.ts";

const schedule = { begin: 2, end: 11, final: 0.75, every: 3 };

const masks = () => {
  const graph = tinyNet();
  return fullMasks(layerWeights(graph, parametersOf(graph)));
};

test("masks follow the schedule, and what is gone stays gone", async () => {
  const seen: (readonly [number, number])[] = [];
  let gone = new Map<string, Set<number>>();
  const look: StateHook = ({ step, state }) => {
    const own = new Map<string, Uint8Array>();
    const now = new Map<string, Set<number>>();
    for (const name of masks().keys()) {
      const mask = Uint8Array.from(state().get(maskName(name)) as Float32Array);
      own.set(name, mask);
      const zeros = [...mask.keys()].filter((i) => mask[i] === 0);
      now.set(name, new Set(zeros));
      for (const i of gone.get(name) ?? []) assert.ok(now.get(name)!.has(i), `${name} ${i}`);
      for (const i of zeros) assert.equal(Math.abs(Number(state().get(name)![i])), 0);
    }
    gone = now;
    seen.push([step, sparsityOf(own)]);
    return null;
  };
  await fitTiny({
    stepOptions: { masks: masks() },
    steps: 14,
    between: (training) =>
      hooksInTurn(gradualPruning(training, { ...schedule, scope: "global" }), look),
  });
  assert.equal(seen.length, 15);
  const count = [...masks().values()].reduce((n, m) => n + m.length, 0);
  for (const [step, sparsity] of seen) {
    const last = [2, 5, 8, 11].filter((s) => s <= step).at(-1);
    const want = last === undefined ? 0 : gradualSparsity(schedule, last);
    assert.ok(Math.abs(sparsity - want) <= 0.5 / count + 1e-12, `step ${step}: ${sparsity}`);
  }
});

test("a gradual run goes on from any checkpoint, with any threads, to the same bits", async () => {
  const options = {
    stepOptions: { masks: masks() },
    steps: 12,
    between: (training: Parameters<typeof gradualPruning>[0]) =>
      gradualPruning(training, { ...schedule, begin: 0, end: 12, scope: "layer" }),
  };
  const whole = await fitTiny({ ...options, saveEvery: 4 });
  assert.equal(whole.saved.length, 3);
  for (const from of whole.saved) {
    const rest = await fitTiny({ ...options, from, threads: 2 });
    assert.deepEqual(rest.state, whole.state, `from ${from.progress.step}`);
  }
});
