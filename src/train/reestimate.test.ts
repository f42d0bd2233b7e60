/** @file Re-estimated batch normalisation: exact averages, a rescued model, refusals. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Executor, type Graph, isOp, type Node } from "../graph/graph.ts";
import { interpret, interpretExecutor } from "../graph/interpret.ts";
import { batchNorm } from "../ops/nn/batch-norm.ts";
import { cleanGraph, compile } from "../pipeline.ts";
import { createSession } from "../runtime/session.ts";
import { type Tensor, tensorOf, toNumbers } from "../tensor/tensor.ts";
import { makeRng } from "../util/rng.ts";
import { Net } from "./net.ts";
import { reestimateBatchNorm } from "./reestimate.ts";

const SHAPE = [4, 3, 3, 2];

/** Two convolutions with a batch norm each; the second norm follows the first. */
function net(): Graph {
  const n = new Net("two", { seed: 4 });
  const x = n.input("x", SHAPE);
  const a = n.relu(n.batchNorm(n.conv2d(x, 3, "a"), "a.norm"));
  return n.build(n.batchNorm(n.conv2d(a, 2, "b"), "b.norm"));
}

function batches(count: number, shift = 0): Tensor[][] {
  const rng = makeRng(11);
  const batch = () => Array.from({ length: 72 }, () => 2 * rng.normal() + shift);
  return Array.from({ length: count }, () => [tensorOf("f32", SHAPE, batch())]);
}

const norms = (g: Graph): Node[] => g.nodes.filter((node) => isOp(node, batchNorm));
const averages = (g: Graph, i: number): number[][] =>
  norms(g)
    [i]!.ins.slice(3)
    .map((v) => toNumbers(g.constants.get(v)!));

/** Mean and unbiased variance of each channel (the last axis). */
function moments(t: Tensor): number[][] {
  const channels = t.type.shape.at(-1)!;
  const values = toNumbers(t);
  const of = (c: number): number[] => values.filter((_, i) => i % channels === c);
  const mean = Array.from({ length: channels }, (_, c) => {
    const v = of(c);
    return v.reduce((a, b) => a + b, 0) / v.length;
  });
  const variance = mean.map((m, c) => {
    const v = of(c);
    return v.reduce((a, b) => a + (b - m) ** 2, 0) / (v.length - 1);
  });
  return [mean, variance];
}

test("averages are those of the batches, in order of the network", async () => {
  const graph = net();
  const data = batches(5);
  const fresh = await reestimateBatchNorm(graph, data, interpretExecutor);
  const first = norms(graph)[0]!.ins[0]!;
  const seen = data.map((feeds) => {
    const g = { ...graph, outputs: [first], outputNames: ["conv"] };
    return moments(interpret(g, feeds)[0]!);
  });
  for (const which of [0, 1]) {
    averages(fresh, 0)[which]!.forEach((x, c) => {
      const want = seen.reduce((a, m) => a + m[which]![c]!, 0) / seen.length;
      assert.ok(Math.abs(x - want) < 1e-5 * Math.max(1, want), `${x}, expected ${want}`);
    });
  }
  assert.equal(norms(fresh).length, 2);
  assert.deepEqual(averages(graph, 0), [
    [0, 0, 0],
    [1, 1, 1],
  ]);
});

test("on the batch it saw, a re-estimated model normalises to mean 0", async () => {
  const data = batches(1, 5);
  const fresh = await reestimateBatchNorm(net(), data, interpretExecutor);
  const [mean, variance] = moments(interpret(fresh, data[0]!)[0]!);
  for (const m of mean!) assert.ok(Math.abs(m) < 0.05, `mean ${m}`);
  for (const v of variance!) assert.ok(Math.abs(v - 1) < 0.05, `variance ${v}`);
  const stale = moments(interpret(net(), data[0]!)[0]!)[1]!;
  assert.ok(stale.some((v) => Math.abs(v - 1) > 0.5));
});

test("compiled statistics give the same averages", async () => {
  const run: Executor = async (graph, feeds) => {
    const session = await createSession(compile(graph).program);
    const outs = session.run(feeds);
    session.close();
    return outs;
  };
  const data = batches(3);
  const slow = await reestimateBatchNorm(net(), data, interpretExecutor);
  const fast = await reestimateBatchNorm(net(), data, run);
  for (const i of [0, 1]) {
    averages(fast, i).forEach((list, which) => {
      list.forEach((x, c) => {
        const want = averages(slow, i)[which]![c]!;
        assert.ok(Math.abs(x - want) < 1e-4 * Math.max(1, want), `${x}, expected ${want}`);
      });
    });
  }
});

test("no data, and a model without batch norms, are refused", async () => {
  await assert.rejects(reestimateBatchNorm(net(), [], interpretExecutor), { code: "E_DATA" });
  const clean = cleanGraph(net());
  await assert.rejects(reestimateBatchNorm(clean, batches(1), interpretExecutor), {
    code: "E_MODEL",
  });
});
