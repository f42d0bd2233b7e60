/** @file Early exits: where they branch off, what trains them, the cut into stages, the threshold. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { smallResidual } from "../../../test/support/small-residual.ts";
import { seededFeeds } from "../../../test/support/whole-models.ts";
import { macsOf } from "../../graph/count.ts";
import type { Graph } from "../../graph/graph.ts";
import { interpret } from "../../graph/interpret.ts";
import { rewrite } from "../../graph/rewrite.ts";
import { verifyGraph } from "../../graph/verify.ts";
import { softmax } from "../../ops/reduce/index.ts";
import { loadModel, toOnnx } from "../../pipeline.ts";
import { type Tensor, toNumbers } from "../../tensor/tensor.ts";
import type { UserError } from "../../util/errors.ts";
import { makeRng } from "../../util/rng.ts";
import type { BatchSource } from "../batches.ts";
import { mlp } from "../models/mlp.ts";
import { wideResnet } from "../models/wide-resnet.ts";
import { sgd } from "../optimizers.ts";
import { trainingStep } from "../step.ts";
import { createTrainer } from "../trainer.ts";
import {
  type Confidence,
  calibrateExits,
  cascade,
  type ExitLossOptions,
  type ExitOutcome,
  exitCurve,
  exitLoss,
  exitOutcomes,
  exitPoint,
  exitStages,
  exitsOf,
  isOfExit,
  NEVER,
  openCascade,
  withExits,
} from "./index.ts";

const run = (graph: Graph, feeds: readonly Tensor[]): number[][] =>
  interpret(graph, feeds).map((t) => toNumbers(t));

test("exits branch off the last output of each resolution but the last; raw sums are activated first", () => {
  const graph = withExits(wideResnet({ depth: 10, width: 1, side: 16 }), { seed: 2 });
  verifyGraph(graph);
  assert.deepEqual(exitsOf(graph), [
    { name: "exit1", point: "group1.block1" },
    { name: "exit2", point: "group2.block1" },
  ]);
  assert.deepEqual(graph.outputNames, ["logits", "exit1", "exit2"]);
  assert.ok(graph.nodes.some((n) => n.name === "exit1.norm"));
  const plain = withExits(smallResidual(), { conv: 4 });
  assert.ok(!plain.nodes.some((n) => n.name === "exit1.norm"));
  assert.ok(plain.nodes.some((n) => n.name === "exit1.conv"));
  assert.deepEqual(exitsOf(smallResidual()), []);
  assert.throws(() => withExits(plain), /has exits already/);
  assert.throws(() => withExits(mlp({ inputs: 4, hidden: [4] })), /no place for an exit/);
  const named = withExits(smallResidual(), { points: ["stem"] });
  assert.deepEqual(exitsOf(named), [{ name: "exit1", point: "stem" }]);
});

test("the network itself computes what it did; a file keeps its exits, in either layout", () => {
  const before = smallResidual({ seed: 4 });
  const graph = withExits(before, { conv: 4, seed: 1 });
  const feeds = seededFeeds(before, 2);
  assert.deepEqual(run(graph, feeds)[0], run(before, feeds)[0]);
  const { graph: back } = loadModel(toOnnx(graph));
  assert.deepEqual(exitsOf(back), exitsOf(graph));
  const [imported] = [loadModel(toOnnx(before)).graph].map((g) =>
    withExits(g, { conv: 4, seed: 1 }),
  );
  verifyGraph(imported!);
  assert.equal(macsOf(imported!), macsOf(graph));
  const [a, b] = [run(graph, feeds), run(imported!, feeds)];
  a.forEach((xs, i) => xs.forEach((x, k) => assert.ok(Math.abs(x - b[i]![k]!) < 1e-4)));
});

/** The final softmax in the graph, as many exported classifiers have it. */
const softened = (graph: Graph): Graph =>
  rewrite(graph, (node, ctx) => {
    if (node.outs[0] !== graph.outputs[0]) return null;
    const y = ctx.builder.apply(node.op, node.ins.map(ctx.value), node.attrs, node.name);
    return [ctx.builder.apply(softmax, [y], { axis: 1 })];
  });

test("stages one after the other are the network; none is computed twice", () => {
  for (const probabilities of [false, true]) {
    const base = smallResidual({ seed: 4, batch: 3 });
    const graph = withExits(probabilities ? softened(base) : base, {
      points: ["stem", "block1.sum"],
    });
    const stages = exitStages(graph);
    assert.equal(stages.probabilities, probabilities);
    assert.equal(stages.list.length, 3);
    const single = withExits(
      probabilities ? softened(smallResidual({ seed: 4 })) : smallResidual({ seed: 4 }),
      {
        points: ["stem", "block1.sum"],
      },
    );
    const feeds = seededFeeds(single, 2);
    const want = run(single, feeds);
    const known = new Map(single.inputs.map((v, i) => [single.values.get(v)!.name, feeds[i]!]));
    const got = stages.list.map(({ graph: g }) => {
      verifyGraph(g);
      const ins = g.inputs.map((v) => known.get(g.values.get(v)!.name)!);
      const outs = interpret(g, ins);
      for (const [i, name] of g.outputNames.entries()) known.set(name, outs[i]!);
      return toNumbers(outs[0]!);
    });
    const near = (a: readonly number[], b: readonly number[]): void =>
      a.forEach((x, i) => assert.ok(Math.abs(x - b[i]!) < 1e-5, `${x} ${b[i]}`));
    near(got[2]!, want[0]!);
    if (!probabilities) near(got[0]!, want[1]!);
    for (const y of got) {
      const sum = y.reduce((s, x) => s + x, 0);
      if (probabilities) assert.ok(Math.abs(sum - 1) < 1e-5);
    }
    assert.equal(stages.list.at(-1)!.macs, macsOf(single));
  }
  assert.throws(() => exitStages(smallResidual()), /no early exits/);
});

const BATCH = 16;

/** One batch of noise with classes that the mean tells. */
function batchOf(seed: number) {
  const rng = makeRng(seed);
  const labels = Array.from({ length: BATCH }, (_, i) => i % 2);
  const image = Float32Array.from(
    { length: BATCH * 784 },
    (_, i) => labels[Math.floor(i / 784)]! + 0.3 * rng.normal(),
  );
  const target = new Float32Array(BATCH * 10);
  labels.forEach((l, i) => {
    target[10 * i + l] = 1;
  });
  return { labels, feeds: { image, target } };
}

async function trainedBy(options: ExitLossOptions, steps: number, trains?: (n: string) => boolean) {
  const graph = withExits(smallResidual({ batch: BATCH, seed: 3 }), { seed: 3 });
  const optimizer = sgd({ momentum: 0.9 });
  const step = trainingStep(graph, {
    optimizer,
    loss: exitLoss(options),
    ...(trains !== undefined && { trains }),
  });
  const trainer = await createTrainer(graph, step, optimizer);
  const losses: number[] = [];
  for (let i = 0; i < steps; i++) losses.push(trainer.step(batchOf(i).feeds, 0.1).loss);
  const found = { model: trainer.model(), state: trainer.state(), losses };
  trainer.close();
  return found;
}

test("what an exit learns from the last head does not move the last head", async () => {
  const [joint, self, alone] = await Promise.all([
    trainedBy({ mode: "joint" }, 1),
    trainedBy({ mode: "self", alpha: 1 }, 1),
    trainedBy({ mode: "joint", weights: 0 }, 1),
  ]);
  const head = (of: typeof joint, name: string) => of.state.get(name) as Float32Array;
  assert.deepEqual(head(self, "head.weight"), head(alone, "head.weight"));
  assert.notDeepEqual(head(self, "stem.weight"), head(alone, "stem.weight"));
  assert.notDeepEqual(head(self, "exit1.head.weight"), head(joint, "exit1.head.weight"));
  const exits = exitsOf(joint.model);
  const only = await trainedBy({ mode: "self" }, 1, (name) => isOfExit(exits, name));
  assert.ok([...only.state.keys()].some((n) => n.startsWith("exit1.head.weight")));
  assert.ok(![...only.state.keys()].some((n) => n.startsWith("stem.weight")));
});

test("trained exits are right, the cascade stops where it is confident", async () => {
  const { model, losses } = await trainedBy({ mode: "self" }, 40);
  assert.ok(losses.at(-1)! < losses[0]! / 2, losses.join());
  const stages = exitStages(model);
  const open = await openCascade(stages);
  const { labels, feeds } = batchOf(99);
  const rows: BatchSource = {
    ...{ rows: 1, batchesPerEpoch: BATCH, close: async () => {} },
    batch: async (i) => ({
      feeds: { image: feeds.image.slice(784 * i, 784 * (i + 1)) },
      labels: [labels[i]!],
    }),
  };
  const outcomes = await exitOutcomes(open, rows);
  const costs = stages.list.map((s) => s.macs);
  assert.equal(exitPoint(outcomes, costs, NEVER).accuracy, 100);
  const found = calibrateExits(outcomes, costs, { maxDrop: 0 });
  assert.ok(found.meanCost < costs.at(-1)!);
  let total = 0;
  for (let i = 0; i < BATCH; i++) {
    const { feeds: one } = await rows.batch(i);
    const { exit, confidence } = open.run(one, found.threshold);
    const [first] = outcomes[i]!.confidence;
    assert.equal(exit === 0, first! >= found.threshold);
    assert.equal(confidence, outcomes[i]!.confidence[exit]);
    total += costs[exit]!;
  }
  assert.ok(Math.abs(total / BATCH - found.meanCost) < 1e-6);
  open.close();
});

test("the threshold is the best of all for either target", () => {
  const rng = makeRng(5);
  const costs = [1, 3, 7];
  const outcomes = Array.from({ length: 60 }, (): ExitOutcome => {
    const confidence = costs.map(() => rng.next());
    return { confidence, right: confidence.map((c, i) => rng.next() < (i === 2 ? 0.95 : c)) };
  });
  const thresholds = [0, ...outcomes.flatMap((o) => o.confidence.slice(0, 2)), NEVER];
  const all = thresholds.map((t) => exitPoint(outcomes, costs, t));
  const whole = exitPoint(outcomes, costs, NEVER);
  assert.deepEqual(whole.shares, [0, 0, 1]);
  assert.equal(exitCurve(outcomes, costs).length, 122);
  const byDrop = calibrateExits(outcomes, costs, { maxDrop: 5 });
  const allowed = all.filter((p) => whole.accuracy - p.accuracy <= 5);
  assert.equal(byDrop.meanCost, Math.min(...allowed.map((p) => p.meanCost)));
  const byCost = calibrateExits(outcomes, costs, { meanCost: 0.5 });
  const cheap = all.filter((p) => p.meanCost <= 3.5);
  assert.equal(byCost.accuracy, Math.max(...cheap.map((p) => p.accuracy)));
  assert.ok(byCost.meanCost <= 3.5);
  assert.throws(
    () => calibrateExits(outcomes, costs, { meanCost: 0.1 }),
    (e: UserError) => e.code === "E_UNMET" && /14\.3 %/.test(e.hint ?? ""),
  );
  assert.throws(() => calibrateExits([], costs, { maxDrop: 1 }), /no rows/);
});

test("both measures of confidence tell a sure row from an unsure one", () => {
  const say = (confidence: Confidence, scores: readonly number[], probabilities = false) => {
    const one = { run: () => ({ y: Float32Array.from(scores) }) };
    const about = { output: "y", probabilities, confidence, inputs: [[]] };
    return cascade([one], about, {}, 0).confidence;
  };
  const near = (a: number, b: number): void => assert.ok(Math.abs(a - b) < 1e-6, `${a} ${b}`);
  for (const kind of ["max", "entropy"] as const) {
    near(say(kind, [30, 0, 0]), 1);
    near(say(kind, [1000, -1000, 0]), 1);
    near(say(kind, [1, 0, 0], true), 1);
  }
  near(say("max", [1, 1, 1]), 1 / 3);
  near(say("entropy", [1, 1, 1]), 0);
  near(say("max", [0.7, 0.2, 0.1], true), 0.7);
  const bits = [0.7, 0.2, 0.1].reduce((sum, p) => sum + p * Math.log(p), 0);
  near(say("entropy", [0.7, 0.2, 0.1], true), 1 + bits / Math.log(3));
  near(say("max", [0.7, 0.2, 0.1].map(Math.log)), 0.7);
});
