import assert from "node:assert/strict";
import { test } from "node:test";
import { argMax } from "../util/math.ts";
import { meanInterval, pairedDrop, proportion, relativeErrors } from "./metrics.ts";

const near = (a: number, b: number, tolerance: number): void =>
  assert.ok(Math.abs(a - b) <= tolerance, `${a} is not ${b}`);

test("Wilson interval of 8 in 10", () => {
  const p = proportion(8, 10);
  near(p.value, 80, 1e-12);
  near(p.low, 49.02, 0.01);
  near(p.high, 94.33, 0.01);
});

test("a proportion of no rows is not a number but keeps a full interval", () => {
  assert.deepEqual(proportion(0, 0), { value: Number.NaN, low: 0, high: 100 });
});

test("the first of equal maxima wins", () => {
  assert.equal(argMax([1, 3, 3, 2]), 1);
});

test("a paired drop counts only rows that changed", () => {
  const before = Array.from({ length: 100 }, (_, i) => i < 90);
  const after = before.map((b, i) => (i < 3 ? false : i >= 98 ? true : b));
  const drop = pairedDrop(before, after);
  near(drop.value, 1, 1e-12);
  assert.ok(drop.low < 1 && drop.high > 1);
  const same = pairedDrop(before, before);
  assert.equal(same.value, 0);
  assert.ok(same.high < 3);
});

test("relative error is the noise-to-signal ratio", () => {
  const reference = [Float32Array.of(1, -1), Float32Array.of(2, 0)];
  const outputs = [Float32Array.of(1.1, -1), Float32Array.of(2, 0)];
  const [a, b] = relativeErrors(outputs, reference);
  near(a!, 0.01 / 2 / 1.5, 1e-7);
  assert.equal(b, 0);
});

test("the bootstrap interval holds the mean and is repeatable", () => {
  const xs = Array.from({ length: 50 }, (_, i) => i % 7);
  const m = meanInterval(xs, 3);
  assert.ok(m.low < m.value && m.value < m.high);
  assert.deepEqual(m, meanInterval(xs, 3));
});
