/** @file Activations computed again: the same numbers, bit for bit, in less memory. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { importOnnx } from "../formats/onnx/import.ts";
import type { Graph } from "../graph/graph.ts";
import { verifyGraph } from "../graph/verify.ts";
import { compile, toOnnx } from "../pipeline.ts";
import { makeRng } from "../util/rng.ts";
import { distil } from "./distil.ts";
import { wideResnet } from "./models/wide-resnet.ts";
import { sgd } from "./optimizers.ts";
import { type StepOptions, trainingStep } from "./step.ts";
import { createTrainer } from "./trainer.ts";

const optimizer = sgd();
const BATCH = 2;
const SIDE = 16;

const stepOf = (model: Graph, options: Partial<StepOptions>) =>
  trainingStep(model, { optimizer, loss: distil({}), ...options });

async function run(model: Graph, options: Partial<StepOptions>) {
  const step = stepOf(model, options);
  verifyGraph(step.graph);
  const trainer = await createTrainer(model, step, optimizer);
  const rng = makeRng(3);
  const image = Float32Array.from({ length: BATCH * SIDE * SIDE * 3 }, () => rng.normal());
  const target = Float32Array.from({ length: BATCH * 10 }, (_, i) => Number(i % 11 === 3));
  const losses = [1, 2, 3].map(() => trainer.step({ image, target }, 0.05).loss);
  const state = trainer.state();
  trainer.close();
  return { step, losses, state };
}

test("WRN-16-2 at batch 32 takes little more than half the memory", (t) => {
  const model = wideResnet({ depth: 16, width: 2, batch: 32 });
  const bytes = (options: Partial<StepOptions>): number => {
    const step = stepOf(model, options);
    return compile(step.graph, { state: step.pairs }).program.memoryBytes;
  };
  const [plain, less] = [bytes({}), bytes({ recompute: "sqrt" })];
  t.diagnostic(`${plain} bytes, with recomputation ${less}`);
  assert.ok(less < 0.65 * plain, `${less} of ${plain}`);
});

test("losses and states are the same to the bit", async () => {
  const net = (seed: number) => wideResnet({ depth: 10, width: 1, batch: BATCH, side: SIDE, seed });
  const imported = importOnnx(toOnnx(net(1))).graph;
  const cases: readonly (readonly [Graph, Partial<StepOptions>])[] = [
    [net(1), {}],
    [imported, {}],
    [net(1), { batchNorm: "frozen", average: 0.9 }],
    [net(1), { teacher: net(2), loss: distil({ alpha: 0.5, beta: 100 }) }],
  ];
  for (const [model, options] of cases) {
    const plain = await run(model, options);
    const again = await run(model, { ...options, recompute: "sqrt" });
    assert.deepEqual(again.losses, plain.losses);
    assert.deepEqual(again.state, plain.state);
    const { recompute } = again.step;
    assert.ok(recompute !== null && recompute.nodes > 0);
    assert.ok(recompute.keptAfter < recompute.keptBefore, JSON.stringify(recompute));
    assert.equal(plain.step.recompute, null);
  }
});

test("segments end where they are told to", async () => {
  const model = wideResnet({ depth: 10, width: 1, batch: BATCH, side: SIDE });
  const names = ["group1.block1", "group2.block1"];
  const plain = await run(model, {});
  const { step, losses } = await run(model, { recompute: names });
  assert.deepEqual(step.recompute!.checkpoints, names);
  assert.deepEqual(losses, plain.losses);
  assert.throws(() => stepOf(model, { recompute: ["nowhere"] }), { code: "E_ARGUMENT" });
});
