/** @file Methods of sparse training against plain arithmetic on one linear layer, and in the loop. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { fitTiny, tinyNet } from "../../../test/support/sparse-training.ts";
import {
  type LayerWeights,
  layerWeights,
  type Masks,
  magnitudeMasks,
  nmMasks,
  snipMasks,
  snipScores,
  sparsityOf,
} from "../../compress/sparsity/index.ts";
import { type Graph, GraphBuilder } from "../../graph/graph.ts";
import { interpret, interpretExecutor } from "../../graph/interpret.ts";
import { linear } from "../../ops/nn/linear.ts";
import { tensorOf, tensorType, toNumbers } from "../../tensor/tensor.ts";
import { product } from "../../util/math.ts";
import { makeRng } from "../../util/rng.ts";
import type { StateHook } from "../between.ts";
import { crossEntropy } from "../losses.ts";
import { maskName } from "../masks.ts";
import { sgd } from "../optimizers.ts";
import { parametersOf } from "../parameters.ts";
import { type StepOptions, trainingStep } from "../step.ts";
import { createTrainer } from "../trainer.ts";
import { type SparseMethod, sparseTraining } from "./plan.ts";
import { regrowFraction } from "./regrow.ts";
import { nmMaskOf } from "./update.ts";

const [ROWS, INPUTS, OUTPUTS] = [4, 10, 3];
const RATE = 0.5;
const DECAY = 0.01;

const first = (): Float32Array => {
  const rng = makeRng(1);
  return Float32Array.from({ length: OUTPUTS * INPUTS }, () => rng.normal());
};

function layer(): Graph {
  const g = new GraphBuilder("layer");
  const x = g.input("x", tensorType("f32", [ROWS, INPUTS]));
  g.output(g.apply(linear, [x, g.constant(tensorOf("f32", [OUTPUTS, INPUTS], first()), "w")]), "y");
  return g.build();
}

const loss: StepOptions["loss"] = ({ g, outputs, input }) =>
  crossEntropy(g, outputs["y"]!, input("target", [ROWS, OUTPUTS]));

function feeds(step: number) {
  const rng = makeRng(100 + step);
  const x = Float32Array.from({ length: ROWS * INPUTS }, () => rng.normal());
  const target = new Float32Array(ROWS * OUTPUTS);
  for (let r = 0; r < ROWS; r++) target[r * OUTPUTS + rng.int(OUTPUTS)] = 1;
  return { x, target };
}

/** dL/dW of the mean cross-entropy of x W^T. */
function gradient(w: ArrayLike<number>, step: number): number[] {
  const { x, target } = feeds(step);
  const out = new Array<number>(OUTPUTS * INPUTS).fill(0);
  for (let r = 0; r < ROWS; r++) {
    const y = Array.from({ length: OUTPUTS }, (_, o) => {
      let sum = 0;
      for (let i = 0; i < INPUTS; i++) sum += w[o * INPUTS + i]! * x[r * INPUTS + i]!;
      return Math.exp(sum);
    });
    const all = y.reduce((a, b) => a + b);
    for (let o = 0; o < OUTPUTS; o++)
      for (let i = 0; i < INPUTS; i++)
        out[o * INPUTS + i]! +=
          ((y[o]! / all - target[r * OUTPUTS + o]!) * x[r * INPUTS + i]!) / ROWS;
  }
  return out;
}

const near = (got: ArrayLike<number>, want: ArrayLike<number>, what: string): void => {
  for (let i = 0; i < want.length; i++) {
    assert.ok(Math.abs(got[i]! - want[i]!) < 2e-5, `${what}[${i}]: ${got[i]}, not ${want[i]}`);
  }
};

/** Trains the layer with plain descent, the hook as the loop calls it; `look` sees every state. */
async function descend(
  method: SparseMethod,
  steps: number,
  look: (state: ReadonlyMap<string, ArrayLike<number>>, step: number) => void,
): Promise<Graph> {
  const graph = layer();
  const optimizer = sgd({ momentum: 0 });
  const plan = sparseTraining(graph, method);
  const step = trainingStep(graph, { optimizer, loss, decay: DECAY, ...plan.step });
  const trainer = await createTrainer(graph, step, optimizer);
  const hook: StateHook = plan.between?.(step) ?? (() => null);
  try {
    for (let n = 0; n <= steps; n++) {
      if (n > 0) trainer.step(feeds(n), RATE);
      const next = await hook({ step: n, batch: null, state: () => trainer.state() });
      if (next !== null) trainer.restore(next, n);
      look(trainer.state() as ReadonlyMap<string, ArrayLike<number>>, n);
    }
    return trainer.model();
  } finally {
    trainer.close();
  }
}

const weightsOf = (w: ArrayLike<number>): readonly LayerWeights[] =>
  layerWeights(layer()).map((l) => ({
    ...l,
    tensor: tensorOf("f32", [OUTPUTS, INPUTS], Float32Array.from(w)),
  }));

const maskOf = (masks: Masks): number[] => [...masks.values()].flatMap((m) => [...m]);

test("masks of N:M in the graph are those of nmMasks: any axis, ties, groups cut short", () => {
  const rng = makeRng(3);
  for (const [shape, axis, n, m] of [
    [[3, 8], 1, 2, 4],
    [[4, 3, 3, 10], 3, 1, 4],
    [[4, 10, 2, 2], 1, 2, 4],
    [[2, 3], 1, 1, 4],
    [[6, 5, 7], 0, 4, 6],
  ] as const) {
    const values = Float32Array.from({ length: product(shape) }, () => rng.int(5) - 2);
    const g = new GraphBuilder("t");
    const w = g.input("w", tensorType("f32", shape));
    g.output(nmMaskOf(g, w, axis, n, m), "mask");
    const tensor = tensorOf("f32", shape, values);
    const [got] = interpret(g.build(), [tensor]);
    const own = { name: "w", value: w, tensor, inAxis: axis, outAxis: axis === 0 ? 1 : 0 };
    assert.deepEqual([...toNumbers(got!)], maskOf(nmMasks([own], n, m)), `${shape}`);
  }
});

test("SR-STE: all weights learn, masked ones shrink by lambda, masks follow in every step", async () => {
  const lambda = 0.3;
  let w = Array.from(first(), Number);
  let mask = maskOf(nmMasks(weightsOf(w), 2, 4));
  let changes = 0;
  const model = await descend({ kind: "nm", n: 2, m: 4, lambda }, 12, (state, n) => {
    if (n > 0) {
      const g = gradient(
        w.map((x, i) => x * mask[i]!),
        n,
      );
      w = w.map((x, i) => x - RATE * (g[i]! + DECAY * x + lambda * (1 - mask[i]!) * x));
      const next = maskOf(nmMasks(weightsOf(w), 2, 4));
      changes += next.filter((bit, i) => bit !== mask[i]).length;
      mask = next;
    }
    near(state.get("w")!, w, `step ${n}, w`);
    near(state.get(maskName("w"))!, mask, `step ${n}, mask`);
  });
  assert.ok(changes > 0, "masks change");
  const [, tensor] = [...model.constants].find(([v]) => model.values.get(v)!.name === "w")!;
  near(
    tensor.data as Float32Array,
    w.map((x, i) => x * mask[i]!),
    "the model",
  );
});

test("movement: scores of all weights, masks by the highest, values that come back", async () => {
  const schedule = { begin: 2, end: 10, final: 0.6, every: 2 };
  let w = Array.from(first(), Number);
  let scores = w.map(() => 0);
  let mask = w.map(() => 1);
  let back = 0;
  await descend({ kind: "movement", scope: "layer", ...schedule }, 12, (state, n) => {
    if (n > 0) {
      const g = gradient(
        w.map((x, i) => x * mask[i]!),
        n,
      );
      scores = scores.map((s, i) => s - g[i]! * w[i]!);
      w = w.map((x, i) => (mask[i] === 1 ? x - RATE * (g[i]! + DECAY * x) : x));
    }
    if (n >= 2 && n <= 10 && n % 2 === 0) {
      const sparsity = 0.6 * (1 - (1 - (n - 2) / 8) ** 3);
      const order = [...scores.keys()].sort((a, b) => scores[a]! - scores[b]! || a - b);
      const gone = new Set(order.slice(0, Math.round(sparsity * w.length)));
      const next = w.map((_, i) => (gone.has(i) ? 0 : 1));
      back += next.filter((bit, i) => bit > mask[i]!).length;
      mask = next;
    }
    near(state.get("w")!, w, `step ${n}, w`);
    near(state.get("w:score")!, scores, `step ${n}, scores`);
    near(state.get(maskName("w"))!, mask, `step ${n}, mask`);
  });
  assert.ok(back > 0, "some weights come back");
});

test("regrowth by gradients: the smallest go, the largest gradients come, the sparsity stays", async () => {
  const how = { sparsity: 0.5, every: 3, end: 10, fraction: 0.5 };
  let mask = maskOf(magnitudeMasks(weightsOf(first()), { sparsity: 0.5, scope: "layer" }));
  let w = Array.from(first(), (x, i) => x * mask[i]!);
  let changes = 0;
  await descend({ kind: "regrow", ...how }, 12, (state, n) => {
    if (n > 0) {
      const g = gradient(w, n);
      w = w.map((x, i) => mask[i]! * (x - RATE * (g[i]! + DECAY * x)));
      near(state.get("w:gradient")!, g, `step ${n}, gradient`);
      if (n % 3 === 0 && n < 10) {
        const active = mask.reduce((a, b) => a + b, 0);
        const count = Math.floor(regrowFraction(0.5, 10, n) * active);
        const on = [...mask.keys()].filter((i) => mask[i] === 1);
        const small = on.sort((a, b) => Math.abs(w[a]!) - Math.abs(w[b]!)).slice(0, count);
        const kept = mask.map((bit, i) => (small.includes(i) ? 0 : bit));
        const off = [...mask.keys()].filter((i) => kept[i] === 0);
        for (const i of off.sort((a, b) => Math.abs(g[b]!) - Math.abs(g[a]!)).slice(0, count)) {
          kept[i] = 1;
        }
        changes += kept.filter((bit, i) => bit > mask[i]!).length;
        mask = kept;
        w = w.map((x, i) => x * mask[i]!);
      }
    }
    near(state.get("w")!, w, `step ${n}, w`);
    near(state.get(maskName("w"))!, mask, `step ${n}, mask`);
    assert.equal(
      mask.reduce((a, b) => a + b, 0),
      15,
    );
  });
  assert.ok(changes > 0);
  assert.equal(regrowFraction(0.3, 100, 0), 0.3);
  assert.ok(Math.abs(regrowFraction(0.3, 100, 50) - 0.15) < 1e-12);
  assert.equal(regrowFraction(0.3, 100, 100), 0);
});

test("SNIP: scores are |w dL/dw|, masks are global", async () => {
  const graph = layer();
  const weights = layerWeights(graph);
  const data = {
    loss,
    executor: interpretExecutor,
    batches: [1, 2].map((n) => {
      const { x, target } = feeds(n);
      return {
        x: tensorOf("f32", [ROWS, INPUTS], x),
        target: tensorOf("f32", [ROWS, OUTPUTS], target),
      };
    }),
  };
  const w = first();
  const [a, b] = [gradient(w, 1), gradient(w, 2)];
  const want = a.map((x, i) => Math.abs(((x + b[i]!) / 2) * w[i]!));
  near((await snipScores(graph, weights, data)).get("w")!, want, "score");
  const masks = await snipMasks(graph, weights, data, { sparsity: 0.8, scope: "global" });
  const kept = [...want.keys()].sort((i, j) => want[j]! - want[i]!).slice(0, 6);
  assert.deepEqual(
    maskOf(masks),
    want.map((_, i) => (kept.includes(i) ? 1 : 0)),
  );
});

const METHODS: readonly SparseMethod[] = [
  { kind: "nm", n: 2, m: 4 },
  { kind: "movement", scope: "global", begin: 0, end: 6, final: 0.7, every: 2 },
  { kind: "regrow", sparsity: 0.6, every: 2, end: 8 },
  { kind: "regrow", sparsity: 0.6, every: 2, end: 8, grow: "random", seed: 7 },
  {
    ...{ kind: "gradual", scope: "global", begin: 0, end: 6, final: 0.7, every: 2 },
    regrow: { every: 3, end: 8 },
  },
];

for (const method of METHODS) {
  const name = `${method.kind}${"grow" in method ? ` ${method.grow}` : ""}`;
  test(`${name}: the same bits from a checkpoint and on two threads`, async () => {
    const { step: stepOptions, between } = sparseTraining(tinyNet(), method);
    const how = { stepOptions, steps: 8, ...(between !== null && { between }) };
    const whole = await fitTiny({ ...how, saveEvery: 3 });
    const from = whole.saved[0]!;
    const rest = await fitTiny({ ...how, from, threads: 2 });
    assert.deepEqual(rest.state, whole.state);
    assert.deepEqual(rest.model.constants, whole.model.constants);
    const graph = whole.model;
    const zeros = layerWeights(graph, parametersOf(graph)).map(
      ({ name: own, tensor }) =>
        [own, Uint8Array.from(tensor.data as Float32Array, (x) => (x === 0 ? 0 : 1))] as const,
    );
    // N:M leaves the head's 8 inputs and the convolution's 4 by half.
    const want = { nm: 0.5, movement: 0.7, regrow: 0.6, gradual: 0.7, fixed: 0 }[method.kind];
    assert.ok(Math.abs(sparsityOf(new Map(zeros)) - want) < 0.01);
  });
}

test("state that a method needs is asked for by name", async () => {
  const { step: stepOptions } = sparseTraining(tinyNet(), METHODS[0]!);
  const { between } = sparseTraining(tinyNet(), METHODS[2]!);
  await assert.rejects(fitTiny({ stepOptions, steps: 3, between: between! }), (e) => {
    assert.match((e as Error).message, /keeps no 'conv.*:gradient'/);
    assert.match((e as { hint: string }).hint, /"gradients"/);
    return true;
  });
});
