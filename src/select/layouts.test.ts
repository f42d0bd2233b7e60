/** @file Cheapest conversions to sets of layouts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { LAYOUTS, type Layout } from "../tensor/layout.ts";
import { contains, provisions, setOf } from "./layouts.ts";

type Costs = Readonly<Record<string, number>>;

const COSTS: Costs = {
  "plain>nchw": 10,
  "plain>nchw8c": 3,
  "nchw8c>nchw": 4,
  "nchw8c>plain": 3,
  "nchw>plain": 9,
  "nchw>nchw8c": 5,
};

const all = (from: Layout, costs: Costs = COSTS) =>
  provisions(LAYOUTS, from, (a, b) => costs[`${a}>${b}`]!);

test("a set that holds only the produced layout is free", () => {
  const found = all("nchw")[setOf(LAYOUTS, ["nchw"])]!;
  assert.deepEqual(found, { cost: 0, steps: [] });
});

test("goes over a third layout where that is cheaper, and shares what is made on the way", () => {
  const one = all("plain")[setOf(LAYOUTS, ["plain", "nchw"])]!;
  assert.equal(one.cost, 7);
  assert.deepEqual(one.steps, [
    { from: "plain", to: "nchw8c" },
    { from: "nchw8c", to: "nchw" },
  ]);
  const both = all("plain")[setOf(LAYOUTS, LAYOUTS)]!;
  assert.equal(both.cost, 7);
  assert.equal(both.steps.length, 2);
});

test("every step starts from a layout that exists", () => {
  for (const from of LAYOUTS) {
    all(from).forEach((provision, set) => {
      if (!contains(LAYOUTS, set, from)) return;
      const present = new Set([from]);
      for (const step of provision.steps) {
        assert.ok(present.has(step.from));
        present.add(step.to);
      }
      for (const l of LAYOUTS) if (contains(LAYOUTS, set, l)) assert.ok(present.has(l));
    });
  }
});

test("of equal cost, takes fewer conversions", () => {
  const costs = { ...COSTS, "plain>nchw": 7 };
  assert.equal(all("plain", costs)[setOf(LAYOUTS, ["plain", "nchw"])]!.steps.length, 1);
});
