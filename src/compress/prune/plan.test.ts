import assert from "node:assert/strict";
import { test } from "node:test";
import { constantBytes, macsOf } from "../../graph/count.ts";
import { type Graph, GraphBuilder } from "../../graph/graph.ts";
import { interpret } from "../../graph/interpret.ts";
import { linear } from "../../ops/nn/linear.ts";
import { reduceMean } from "../../ops/reduce/reduce-mean.ts";
import { tensorOf, tensorType, toNumbers } from "../../tensor/tensor.ts";
import { makeRng } from "../../util/rng.ts";
import { removedShare } from "./choose.ts";
import { prunableGroups } from "./groups.ts";
import { normalised, weightImportance } from "./importance.ts";
import { lossImportance } from "./loss-importance.ts";
import { prunePlanned } from "./plan.ts";
import { removeChannels } from "./remove.ts";
import { pruneSensitivity, ratiosFor, type Sensitivity } from "./sensitivity.ts";
import { keptByRatios, narrowEvenly } from "./shares.ts";

/** Linear layers of these widths with seeded weights; groups layer0, layer1, ... but for the last. */
function chain(rows: number, ...widths: number[]): Graph {
  const rng = makeRng(4);
  const g = new GraphBuilder("chain");
  let x = g.input("x", tensorType("f32", [rows, widths[0]!]));
  widths.slice(1).forEach((n, i) => {
    const k = widths[i]!;
    const w = Float32Array.from({ length: n * k }, () => rng.normal());
    x = g.apply(linear, [x, g.constant(tensorOf("f32", [n, k], w))], {}, `layer${i}`);
  });
  g.output(x, "y");
  return g.build();
}

const subjectOf = (graph: Graph) => {
  const groups = prunableGroups(graph);
  return { graph, groups, importance: normalised(weightImportance(graph, groups, "l1")) };
};

const X = tensorOf(
  "f32",
  [2, 6],
  Array.from({ length: 12 }, (_, i) => Math.sin(i)),
);

/** How far the outputs are from those of `graph`. */
function errorFrom(graph: Graph) {
  const want = toNumbers(interpret(graph, [X])[0]!);
  return async (other: Graph): Promise<number> =>
    toNumbers(interpret(other, [X])[0]!).reduce((sum, y, i) => sum + (y - want[i]!) ** 2, 0);
}

test("a group's sensitivity is that of the graph with this group cut, each cut evaluated once", async () => {
  const graph = chain(2, 6, 4, 10, 3);
  const { groups, importance } = subjectOf(graph);
  const error = errorFrom(graph);
  let calls = 0;
  const evaluate = (g: Graph): Promise<number> => {
    calls++;
    return error(g);
  };
  const points: number[] = [];
  const found = await pruneSensitivity(graph, groups, evaluate, [0.5, 0.1, 0.9, 0.95], {
    better: "low",
    onPoint: (done, total) => points.push(done / total),
  });
  assert.equal(found.base, 0);
  assert.deepEqual(
    found.curves.map((c) => [c.group, c.count, c.points.map((p) => [p.ratio, p.gone])]),
    [
      [
        "layer0",
        4,
        [
          [0.1, 0],
          [0.5, 2],
          [0.9, 3],
          [0.95, 3],
        ],
      ],
      [
        "layer1",
        10,
        [
          [0.1, 1],
          [0.5, 5],
          [0.9, 9],
          [0.95, 9],
        ],
      ],
    ],
  );
  assert.equal(calls, 1 + 2 + 3, "0 units are the base, 3 of 4 and 9 of 10 come twice");
  assert.equal(points.at(-1), 1);
  const half = keptByRatios({ groups: [groups[1]!], importance }, () => 0.5);
  assert.equal(found.curves[1]!.points[1]!.value, await error(removeChannels(graph, half)));
  await assert.rejects(pruneSensitivity(graph, groups, evaluate, [0]), /above 0/);
});

test("shares from sensitivity: the smallest common loss that meets the target", () => {
  const graph = chain(1, 6, 10, 20, 3);
  const subject = subjectOf(graph);
  const point = (ratio: number, gone: number, value: number) => ({ ratio, gone, value });
  const sensitivity: Sensitivity = {
    base: 90,
    better: "high",
    curves: [
      { group: "layer0", count: 10, points: [point(0.5, 5, 80), point(0.9, 9, 10)] },
      // Better than the whole model, then worse, then better again: the loss never falls.
      {
        group: "layer1",
        count: 20,
        points: [point(0.1, 2, 91), point(0.5, 10, 86), point(0.9, 18, 88)],
      },
    ],
  };
  const lengths = (share: number) => {
    const { kept, threshold, ratios } = ratiosFor(sensitivity, { share }, subject);
    assert.ok(removedShare(kept) >= share);
    return { left: [...kept.values()].map((u) => u.length), threshold, ratios };
  };
  // layer1 may lose 18 of 20 at a loss of 4, where layer0 may lose 2 of 10.
  const both = lengths(20 / 30);
  assert.deepEqual(both.left, [8, 2]);
  assert.ok(Math.abs(both.threshold - 4) < 1e-6);
  assert.equal(both.ratios.get("layer1"), 0.9);
  assert.deepEqual(lengths(2 / 30).left, [10, 18], "no loss is predicted for two of layer1");
  const more = lengths(23 / 30);
  assert.deepEqual(more.left, [5, 2]);
  assert.throws(() => ratiosFor(sensitivity, { share: 0.95 }, subject), { code: "E_UNMET" });
  const limit = macsOf(graph) / 2;
  const target = { cost: macsOf, limit, what: "the number of multiply-accumulates" };
  const { kept } = ratiosFor(sensitivity, target, subject, { roundTo: 4 });
  assert.ok([...kept.values()].every((u) => u.length % 4 === 0 || u.length === 10));
});

test("a thinner net narrows all groups alike, as little as it takes", () => {
  const graph = chain(1, 10, 40, 30, 5);
  const subject = subjectOf(graph);
  const target = { cost: constantBytes, limit: constantBytes(graph) / 3, what: "bytes" };
  const { ratio, kept } = narrowEvenly(subject, target);
  const left = [...kept.values()].map((u) => u.length);
  assert.deepEqual(
    left,
    [40, 30].map((n) => n - Math.floor(n * ratio + 1e-9)),
  );
  const bytesOf = (a: number, b: number): number => 4 * (10 * a + a * b + b * 5);
  assert.ok(bytesOf(left[0]!, left[1]!) <= target.limit);
  const wider = ratio - 1 / 120;
  const before = [40, 30].map((n) => n - Math.floor(n * wider + 1e-9));
  assert.ok(bytesOf(before[0]!, before[1]!) > target.limit, "the next wider net is too large");
  assert.throws(() => narrowEvenly(subject, { ...target, limit: 10 }), { code: "E_UNMET" });
});

test("rounds go equal parts of the way, with training between", async () => {
  const graph = chain(1, 10, 40, 20, 5);
  const tuned: number[] = [];
  const tune = async (g: Graph, round: number): Promise<Graph> => {
    tuned.push(round);
    return g;
  };
  const byShare = await prunePlanned(
    graph,
    { criterion: "l2", target: { share: 0.6 }, rounds: 3 },
    { tune },
  );
  assert.deepEqual(tuned, [1, 2]);
  for (const [i, { removed, round }] of byShare!.entries()) {
    assert.equal(round, i + 1);
    assert.ok(Math.abs(removed - 0.2 * (i + 1)) < 0.02, `${removed}`);
  }
  const limit = macsOf(graph) / 4;
  const target = { cost: macsOf, limit, what: "MACs" };
  const plan = { criterion: "l1", target, rounds: 2, maxShare: 0.7, roundTo: 4 } as const;
  const byCost = await prunePlanned(graph, plan, { tune });
  const costs = byCost!.map((r) => macsOf(r.graph));
  assert.ok(costs[0]! <= 0.625 * macsOf(graph) && costs[0]! > 0.45 * macsOf(graph), `${costs}`);
  assert.ok(costs[1]! <= limit);
  for (const { units } of byCost![1]!.groups) assert.equal(units[1] % 4, 0);
  const wide = await prunePlanned(
    graph,
    { ...plan, maxShare: 0.5, target: { share: 0.5 } },
    { tune },
  );
  assert.deepEqual(
    wide!.at(-1)!.groups.map((g) => g.units[1]),
    [20, 12],
    "half of 40, and of 20 rounded up",
  );
  const never = await prunePlanned(graph, plan, { tune: async () => null });
  assert.equal(never, null);
});

test("criteria of the loss ask for gradients, in every round", async () => {
  const graph = chain(2, 6, 8, 8, 3);
  const plan = { criterion: "taylor", target: { share: 0.5 }, rounds: 2 } as const;
  await assert.rejects(prunePlanned(graph, plan), /gradients of a loss/);
  async function* batches() {
    yield { x: X };
  }
  const seen: Graph[] = [];
  const rounds = await prunePlanned(graph, plan, {
    importance: (g, criterion) => {
      seen.push(g);
      return lossImportance(g, prunableGroups(g), criterion, {
        loss: ({ g: b, student }) =>
          b.apply(reduceMean, [student.at(student.graph.outputs[0]!)], {
            axes: [0, 1],
            keepDims: false,
          }),
        batches: batches(),
        executor: async (made, feeds) => interpret(made, feeds),
      });
    },
  });
  assert.equal(seen.length, 2);
  assert.notEqual(seen[0], seen[1]);
  assert.ok(Math.abs(rounds!.at(-1)!.removed - 0.5) < 0.07);
});

test("channels rank by the predicted cost they save, also for a share", async () => {
  const graph = chain(1, 100, 20, 20, 1);
  const flat = (g: Graph) =>
    prunePlanned(g, { criterion: "l1", target: { share: 0.25 }, perCost: macsOf }, {});
  const rounds = await flat(graph);
  const [first, second] = rounds![0]!.groups;
  assert.ok(first!.units[1] < 14 && second!.units[1] > 18, JSON.stringify(rounds![0]!.groups));
});
