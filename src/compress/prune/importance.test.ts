import assert from "node:assert/strict";
import { test } from "node:test";
import { constantBytes, macsOf } from "../../graph/count.ts";
import { type Graph, GraphBuilder, type Value } from "../../graph/graph.ts";
import { interpretExecutor } from "../../graph/interpret.ts";
import { relu } from "../../ops/elementwise/relu.ts";
import { batchNorm } from "../../ops/nn/batch-norm.ts";
import { linear } from "../../ops/nn/linear.ts";
import { reduceMean } from "../../ops/reduce/reduce-mean.ts";
import { type Tensor, tensorOf, tensorType } from "../../tensor/tensor.ts";
import { chooseChannels, removedShare } from "./choose.ts";
import { prunableGroups } from "./groups.ts";
import { type Importance, normalised, weightImportance } from "./importance.ts";
import { lossImportance } from "./loss-importance.ts";
import { removeChannels } from "./remove.ts";

const W1 = [
  [1, -2],
  [3, 0.5],
  [-1, 1],
];
const W2 = [
  [2, -1, 0.5],
  [0.25, 3, -4],
];

const matrix = (rows: readonly (readonly number[])[]): Tensor =>
  tensorOf("f32", [rows.length, rows[0]!.length], rows.flat());

/** y = W2 relu(W1 x), with a batch norm of given scales where there are some. */
function twoLayers(rows: number, gamma?: readonly number[]): Graph {
  const g = new GraphBuilder("two");
  const x = g.input("x", tensorType("f32", [rows, 2]));
  let h: Value = g.apply(linear, [x, g.constant(matrix(W1), "w1")], {}, "hidden");
  if (gamma !== undefined) {
    const c = (values: readonly number[]): Value => g.constant(tensorOf("f32", [3], values));
    const params = [c(gamma), c([0, 0, 0]), c([0, 0, 0]), c([1, 1, 1])];
    h = g.apply(batchNorm, [h, ...params], { layout: "nchw", epsilon: 0 }, "norm");
  }
  h = g.apply(relu, [h]);
  g.output(g.apply(linear, [h, g.constant(matrix(W2), "w2")], {}, "last"), "y");
  return g.build();
}

const close = (got: Float64Array | undefined, want: readonly number[], within = 1e-6): void => {
  assert.equal(got?.length, want.length);
  want.forEach((w, i) => {
    assert.ok(Math.abs(got![i]! - w) <= within, `${[...got!]} instead of ${want}`);
  });
};

test("magnitudes are means over the layers of rows and columns", () => {
  const g = twoLayers(1);
  const groups = prunableGroups(g);
  close(weightImportance(g, groups, "l1").get("hidden"), [(3 + 2.25) / 2, (3.5 + 4) / 2, 3.25]);
  const squares = [(5 + 4.0625) / 2, (9.25 + 10) / 2, (2 + 16.25) / 2];
  close(weightImportance(g, groups, "l2").get("hidden"), squares);
  const mean = squares.reduce((a, b) => a + b, 0) / 3;
  const scaled = normalised(weightImportance(g, groups, "l2")).get("hidden");
  close(
    scaled,
    squares.map((s) => s / mean),
  );
});

test("FPGM sums the distances between filters", () => {
  const g = twoLayers(1);
  const d = (a: number, b: number): number =>
    Math.hypot(W1[a]![0]! - W1[b]![0]!, W1[a]![1]! - W1[b]![1]!);
  const got = weightImportance(g, prunableGroups(g), "fpgm").get("hidden");
  close(got, [d(0, 1) + d(0, 2), d(0, 1) + d(1, 2), d(0, 2) + d(1, 2)]);
});

test("scales of batch norms, refused where there is none", () => {
  const g = twoLayers(1, [0.5, -2, 1]);
  close(weightImportance(g, prunableGroups(g), "bn").get("hidden"), [0.5, 2, 1]);
  const plain = twoLayers(1);
  assert.throws(() => weightImportance(plain, prunableGroups(plain), "bn"), /batch normalisation/);
});

test("random importance follows its seed", () => {
  const g = twoLayers(1);
  const groups = prunableGroups(g);
  const of = (seed: number): number[] => [
    ...weightImportance(g, groups, "random", { seed }).get("hidden")!,
  ];
  assert.deepEqual(of(3), of(3));
  assert.notDeepEqual(of(3), of(4));
});

const X = [
  [1, 0.5],
  [-1, 2],
];
const COEFFICIENTS = [1, -0.5];

/** The mean over rows of y[0] - y[1] / 2. */
const data = {
  loss: ({ g, outputs }: { g: GraphBuilder; outputs: Readonly<Record<string, Value>> }): Value => {
    const c = g.constant(matrix([COEFFICIENTS]));
    const sums = g.apply(linear, [outputs["y"]!, c], {});
    return g.apply(reduceMean, [sums], { axes: [0, 1], keepDims: false });
  },
  batches: [{ x: matrix(X) }, { x: matrix(X.map((row) => row.map((v) => -v))) }],
  executor: interpretExecutor,
};

/** Hidden values of each row, and the gradient of a row's own loss by each. */
const hidden = (row: readonly number[]): number[] =>
  W1.map((w) => Math.max(0, w[0]! * row[0]! + w[1]! * row[1]!));
const slope = [0, 1, 2].map((k) => W2[0]![k]! * COEFFICIENTS[0]! + W2[1]![k]! * COEFFICIENTS[1]!);

test("Fisher importance is half the mean square of a dL/da over rows", async () => {
  const g = twoLayers(2);
  const got = await lossImportance(g, prunableGroups(g), "fisher", data);
  const rows = [...X, ...X.map((row) => row.map((v) => -v))];
  const want = [0, 1, 2].map(
    (k) =>
      rows.reduce((sum, row) => sum + (hidden(row)[k]! * slope[k]!) ** 2, 0) / (2 * rows.length),
  );
  close(got.get("hidden"), want);
});

test("Taylor importance sums |w dL/dw| over both layers", async () => {
  const g = twoLayers(2);
  const got = await lossImportance(g, prunableGroups(g), "taylor", data);
  const rows = [...X, ...X.map((row) => row.map((v) => -v))];
  const mean = (of: (row: readonly number[]) => number): number =>
    rows.reduce((sum, row) => sum + of(row) / rows.length, 0);
  const want = [0, 1, 2].map((k) => {
    const alive = (row: readonly number[]): number => (hidden(row)[k]! > 0 ? slope[k]! : 0);
    const first = [0, 1].map((i) => Math.abs(W1[k]![i]! * mean((row) => alive(row) * row[i]!)));
    const last = [0, 1].map((o) =>
      Math.abs(W2[o]![k]! * COEFFICIENTS[o]! * mean((row) => hidden(row)[k]!)),
    );
    return (first[0]! + first[1]! + last[0]! + last[1]!) / 2;
  });
  close(got.get("hidden"), want);
});

test("a batch without an input the loss needs is refused", async () => {
  const g = twoLayers(2);
  const given = { ...data, batches: [{ z: matrix(X) }] };
  await assert.rejects(lossImportance(g, prunableGroups(g), "taylor", given), /has no 'x'/);
});

/** A chain of linear layers of these widths with weights 1. */
function chain(...widths: number[]): Graph {
  const g = new GraphBuilder("chain");
  let x = g.input("x", tensorType("f32", [1, widths[0]!]));
  widths.slice(1).forEach((n, i) => {
    const k = widths[i]!;
    const w = tensorOf("f32", [n, k], new Float32Array(n * k).fill(1));
    x = g.apply(linear, [x, g.constant(w)], {}, `layer${i}`);
  });
  g.output(x, "y");
  return g.build();
}

const scores = (lists: Readonly<Record<string, readonly number[]>>): Importance =>
  new Map(Object.entries(lists).map(([k, v]) => [k, Float64Array.from(v)]));

test("the least important go first, over all groups, and one of each stays", () => {
  const g = chain(2, 4, 3, 2);
  const groups = prunableGroups(g);
  const importance = scores({ layer0: [4, 1, 3, 9], layer1: [2, 8, 7] });
  const at = (share: number): readonly (readonly number[])[] => [
    ...chooseChannels(g, groups, importance, { share }).values(),
  ];
  assert.deepEqual(at(0.25), [
    [0, 2, 3],
    [1, 2],
  ]);
  assert.deepEqual(at(0), [
    [0, 1, 2, 3],
    [0, 1, 2],
  ]);
  assert.deepEqual(at(1), [[3], [1]]);
});

test("kept channels round up to a multiple, and no group loses more than its share", () => {
  const g = chain(2, 8, 6, 2);
  const groups = prunableGroups(g);
  const importance = scores({ layer0: [1, 2, 3, 4, 5, 6, 7, 8], layer1: [9, 9, 9, 9, 9, 9] });
  const options = { roundTo: 4 };
  const kept = [...chooseChannels(g, groups, importance, { share: 0.99 }, options).values()];
  assert.deepEqual(
    kept.map((u) => u.length),
    [4, 4],
  );
  const half = chooseChannels(g, groups, importance, { share: 1 }, { maxShare: 0.5 });
  assert.deepEqual(
    [...half.values()].map((u) => u.length),
    [4, 3],
  );
});

test("a target of cost is met with as few channels gone as it takes", () => {
  const g = chain(10, 40, 30, 5);
  const groups = prunableGroups(g);
  const importance = weightImportance(g, groups, "random", { seed: 2 });
  for (const [what, cost] of [
    ["multiply-accumulates", macsOf],
    ["bytes", constantBytes],
  ] as const) {
    const limit = cost(g) / 2;
    const kept = chooseChannels(g, groups, importance, { cost, limit, what });
    const got = cost(removeChannels(g, kept));
    assert.ok(got <= limit && got > 0.9 * limit, `${what}: ${got} of ${limit}`);
  }
  const target = { cost: macsOf, limit: 3, what: "multiply-accumulates" };
  assert.throws(
    () => chooseChannels(g, groups, importance, target),
    /until multiply-accumulates is 16/,
  );
});

test("ranked by saved cost the wide layer goes first", () => {
  const g = chain(100, 20, 20, 1);
  const groups = prunableGroups(g);
  const importance = weightImportance(g, groups, "l1");
  const flat: Importance = new Map([...importance].map(([n, s]) => [n, s.map(() => 1)]));
  const target = { cost: macsOf, limit: 0.8 * macsOf(g), what: "multiply-accumulates" };
  const kept = chooseChannels(g, groups, flat, target, { perCost: true });
  const lengths = [...kept.values()].map((u) => u.length);
  assert.equal(lengths[1], 20);
  assert.ok(lengths[0]! < 20 && removedShare(kept) > 0);
});
