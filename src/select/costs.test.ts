/** @file The cost model and its fit. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Node } from "../graph/graph.ts";
import { relu } from "../ops/elementwise/relu.ts";
import type { Candidate } from "../primitives/primitive.ts";
import { tensorType } from "../tensor/tensor.ts";
import { makeRng } from "../util/rng.ts";
import { costModel, groupOf, groupsOf, keyOf } from "./costs.ts";
import { fitCoefficients } from "./fit.ts";
import type { NetworkNode } from "./network.ts";
import type { ProfileEntry } from "./profile.ts";

const candidate = (name: string, family: string, macs: number, bytes = 0): Candidate => ({
  name,
  family,
  work: { macs, bytes },
  implement: () => ({ inPlace: false, steps: [] }),
});

const type = tensorType("f32", [4]);

function nodeWith(...candidates: Candidate[]): NetworkNode {
  const node = { op: relu, ins: [], outs: [], attrs: {}, name: "layer" } as unknown as Node;
  return { node, ins: [type], outs: [type], candidates, signature: "relu f32[4]" };
}

const entry = (group: string, macs: number, bytes: number, ns: number): ProfileEntry => ({
  key: `${group} ${macs} ${bytes}`,
  group,
  ns,
  macs,
  bytes,
});

test("groups widen from operator to family to everything", () => {
  assert.equal(groupOf(nodeWith(), candidate("c", "igemm", 0)), "relu/igemm/f32");
  assert.deepEqual(groupsOf("relu/igemm/f32"), ["relu/igemm/f32", "*/igemm/f32", "*/igemm/*", "*"]);
  assert.deepEqual(groupsOf("*/igemm/f32"), ["*/igemm/f32", "*/igemm/*", "*"]);
  assert.deepEqual(groupsOf("*/igemm/*"), ["*/igemm/*", "*"]);
  assert.deepEqual(groupsOf("*"), ["*"]);
});

test("measured times come first, modelled ones are brought to their level", () => {
  const [a, b] = [candidate("a", "igemm", 1000), candidate("b", "winograd", 500)];
  const node = nodeWith(a, b, candidate("view", "view", 0));
  const table = { "*": [1, 0, 0] } as const;
  const plain = costModel(new Map(), table);
  assert.deepEqual(plain.estimate(node, a), { ns: 1000, measured: false });
  assert.deepEqual(plain.estimate(node, b), { ns: 500, measured: false });
  const measured = costModel(new Map([[keyOf(node, a), 3000]]), table);
  assert.deepEqual(measured.estimate(node, a), { ns: 3000, measured: true });
  assert.equal(Math.round(measured.estimate(node, b).ns), 1500);
  assert.deepEqual(measured.estimate(node, node.candidates[2]!), { ns: 0, measured: true });
});

test("the nearest group's coefficients apply", () => {
  const table = { "*": [1, 1, 1], "*/igemm/f32": [2, 0, 0], "relu/igemm/f32": [3, 0, 0] } as const;
  const costs = costModel(new Map(), table);
  const node = nodeWith();
  assert.equal(costs.estimate(node, candidate("a", "igemm", 10)).ns, 30);
  assert.equal(costs.estimate(node, candidate("a", "other", 10, 5)).ns, 16);
  const wider = costModel(new Map(), { "*": [1, 1, 1], "*/igemm/f32": [2, 0, 0] });
  assert.equal(wider.estimate(node, candidate("a", "igemm", 10)).ns, 20);
});

test("a default loop nest that was not measured is never predicted to be fast", () => {
  const costs = costModel(new Map(), { "*": [0.01, 0, 0] });
  const node = nodeWith();
  assert.equal(costs.estimate(node, candidate("a", "igemm", 1000)).ns, 10);
  assert.equal(costs.estimate(node, candidate("b", "default", 1000)).ns, 300);
});

test("data that decide the time are part of the key", () => {
  const node = nodeWith();
  const sparse = { ...candidate("a", "spmm", 1), data: "nnz=5" };
  assert.notEqual(keyOf(node, sparse), keyOf(node, { ...sparse, data: "nnz=6" }));
});

test("the fit finds coefficients that made the times", () => {
  const rng = makeRng(1);
  const laws = { "conv/igemm/f32": [0.04, 0.1, 200], "add/default/f32": [0, 0.02, 120] } as const;
  const entries = Object.entries(laws).flatMap(([group, [a, b, c]]) =>
    Array.from({ length: 40 }, () => {
      const macs = group.startsWith("conv") ? 10 ** (3 + 4 * rng.next()) : 0;
      const bytes = 10 ** (2 + 4 * rng.next());
      return entry(group, macs, bytes, a * macs + b * bytes + c);
    }),
  );
  const table = fitCoefficients(entries);
  for (const [group, law] of Object.entries(laws)) {
    table[group]!.forEach((c, i) => {
      assert.ok(Math.abs(c - law[i]!) <= 0.1 * law[i]! + 1e-3, `${group}: ${table[group]}`);
    });
  }
  assert.ok(table["*"] !== undefined && table["*/igemm/*"] !== undefined);
});

test("a group of one small measurement takes the shape of its family's law", () => {
  const many = Array.from({ length: 20 }, (_, i) => {
    const macs = 1000 * 2 ** (i % 10);
    return entry("conv/default/i8", macs, 300, 0.8 * macs + 60 + 100);
  });
  const table = fitCoefficients([...many, entry("linear/default/i8", 600, 700, 900)]);
  const [macs, bytes, call] = table["linear/default/i8"]!;
  const large = macs * 1e7 + bytes * 3e5 + call;
  assert.ok(large > 0.4e7 && large < 4e7, `${large}`);
  assert.ok(Math.abs(macs * 600 + bytes * 700 + call - 900) < 200);
});

test("coefficients are never negative, whatever the times", () => {
  for (let seed = 0; seed < 50; seed++) {
    const rng = makeRng(seed);
    const entries = Array.from({ length: 1 + rng.int(6) }, () =>
      entry("conv/igemm/f32", rng.int(1e6), rng.int(1e5), 1 + rng.int(1e6)),
    );
    for (const law of Object.values(fitCoefficients(entries))) {
      assert.ok(
        law.every((c) => c >= 0 && Number.isFinite(c)),
        `seed ${seed}: ${law}`,
      );
      assert.ok(
        law.some((c) => c > 0),
        `seed ${seed}`,
      );
    }
  }
});
