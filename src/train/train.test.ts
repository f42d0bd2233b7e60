/** @file Schedules, batches, losses against golden values, and steps that repeat to the bit. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { gradients } from "../autodiff/backward.ts";
import { GraphBuilder, type Value } from "../graph/graph.ts";
import { interpret } from "../graph/interpret.ts";
import { add } from "../ops/elementwise/add.ts";
import { mul } from "../ops/elementwise/mul.ts";
import { scalarOf, type Tensor, tensorOf, toNumbers } from "../tensor/tensor.ts";
import type { PictureSet } from "./data/sets.ts";
import { trainingBatches } from "./data/source.ts";
import { attentionTransfer, crossEntropy, distillation } from "./losses.ts";
import { resnet8 } from "./models/resnet8.ts";
import { adam, sgd } from "./optimizers.ts";
import { cosineRate, oneCycle, stepRate, warmUp } from "./schedules.ts";
import { trainingStep } from "./step.ts";
import { createTrainer } from "./trainer.ts";

const close = (got: number, want: number, tolerance: number): void =>
  assert.ok(Math.abs(got - want) <= tolerance, `${got}, expected ${want}`);

function evaluate(
  ins: readonly Tensor[],
  build: (g: GraphBuilder, ins: readonly Value[]) => readonly Value[],
): number[][] {
  const g = new GraphBuilder("loss");
  const values = ins.map((t, i) => g.input(`in${i}`, t.type));
  for (const v of build(g, values)) g.output(v);
  return interpret(g.build(), ins).map(toNumbers);
}

type Four = readonly [number[], number[], number[], number[]];

/** Up to four results. */
const four = (...args: Parameters<typeof evaluate>): Four =>
  [...evaluate(...args), [], [], []].slice(0, 4) as unknown as Four;

const row = (...xs: number[]): Tensor => tensorOf("f64", [1, xs.length], xs);

test("distillation: golden values and gradient", () => {
  const ins = [row(1, 2, 0.5, -1), row(2, 1, 0, -2), row(0, 1, 0, 0)];
  const [[kd], [ce], [total], ds] = four(ins, (g, [s, t, y]) => {
    const soft = distillation(g, s!, t!, 4);
    const hard = crossEntropy(g, s!, y!);
    const scale = (v: Value, k: number): Value => g.apply(mul, [v, g.constant(scalarOf("f64", k))]);
    const sum = g.apply(add, [scale(soft, 0.9), scale(hard, 0.1)]);
    return [soft, hard, sum, gradients(g, soft, [s!])[0]!];
  });
  close(kd!, 0.38816352338, 1e-9);
  close(ce!, 0.495181898086, 1e-9);
  close(total!, 0.398865360851, 1e-9);
  const want = [-0.39269968, 0.2297788, 0.05438106, 0.10853982];
  ds!.forEach((v, i) => {
    close(v, want[i]!, 1e-8);
  });
});

test("attention transfer: golden value, and zero for equal or scaled activations", () => {
  // Channels first in the source: 3 x 2 x 2 as height 2, width 2, channels 3.
  const nhwc = (f: (i: number) => number): Tensor =>
    tensorOf(
      "f64",
      [1, 2, 2, 3],
      Array.from({ length: 12 }, (_, i) => f((i % 3) * 4 + Math.floor(i / 3))),
    );
  const s = nhwc((i) => (i + 1) / 10);
  const t = nhwc((i) => (12 - i) / 10);
  const [[loss], [same]] = four([s, t, nhwc((i) => (i + 1) * 7)], (g, [a, b, c]) => [
    attentionTransfer(g, a!, b!),
    attentionTransfer(g, a!, c!),
  ]);
  close(loss!, 0.067142831918, 1e-9);
  close(same!, 0, 1e-15);
});

test("schedules", () => {
  assert.deepEqual([0, 5, 10].map(stepRate(1, [5, 8], 0.5)), [1, 0.5, 0.25]);
  close(cosineRate(2, 10)(5), 1, 1e-12);
  assert.deepEqual([0, 1, 2].map(warmUp(2, () => 4)), [2, 4, 4]);
  const cycle = oneCycle(1, 100);
  close(cycle(30), 1, 1e-12);
  assert.ok(cycle(0) < 0.05 && cycle(99) < 0.01);
});

const SIDE = 32;
const pictures: PictureSet = {
  count: 40,
  height: SIDE,
  width: SIDE,
  channels: 3,
  classes: 10,
  pixels: Uint8Array.from({ length: 40 * SIDE * SIDE * 3 }, (_, i) => (i * 7919) % 256),
  labels: Array.from({ length: 40 }, (_, i) => i % 10),
};

async function run(steps: number, threads: number, from?: ReadonlyMap<string, never>) {
  const model = resnet8({ batch: 4, seed: 3 });
  const optimizer = adam({ decoupled: true });
  const step = trainingStep(model, {
    optimizer,
    loss: ({ g, outputs, input }) => crossEntropy(g, outputs["logits"]!, input("target", [4, 10])),
    decay: (name) => (name.endsWith("weight") ? 0.01 : 0),
    clipNorm: 1,
  });
  const trainer = await createTrainer(model, step, optimizer, { threads });
  const batches = trainingBatches(pictures, { batch: 4, seed: 9, shift: 2, mirror: true });
  const start = from === undefined ? 0 : steps;
  if (from !== undefined) trainer.restore(from, start);
  const losses: number[] = [];
  for (let i = start; i < start + steps; i++) {
    const { feeds } = await batches.batch(i);
    losses.push(trainer.step(feeds, 0.001).loss);
  }
  const state = trainer.state();
  trainer.close();
  return { losses, state };
}

test("training repeats to the bit, on any number of threads, and goes on from a state", async () => {
  const whole = await run(6, 1);
  const two = await run(6, 2);
  assert.deepEqual(two, whole);
  const half = await run(3, 1);
  const rest = await run(3, 1, half.state as ReadonlyMap<string, never>);
  assert.deepEqual([...half.losses, ...rest.losses], whole.losses);
  assert.deepEqual(rest.state, whole.state);
});

test("a state of another optimiser is refused", async () => {
  const model = resnet8({ batch: 2 });
  const optimizer = sgd();
  const step = trainingStep(model, {
    optimizer,
    loss: ({ g, outputs, input }) => crossEntropy(g, outputs["logits"]!, input("target", [2, 10])),
  });
  const trainer = await createTrainer(model, step, optimizer);
  assert.throws(() => trainer.restore(new Map(), 0), { code: "E_DATA" });
  trainer.close();
});

test("a model of which nothing is trained is refused", () => {
  const build = () =>
    trainingStep(resnet8(), {
      optimizer: sgd(),
      trains: () => false,
      loss: ({ outputs }) => outputs["logits"]!,
    });
  assert.throws(build, { code: "E_ARGUMENT" });
});
