import assert from "node:assert/strict";
import { test } from "node:test";
import { dequantizeValue, quantizeValue } from "../../tensor/quant.ts";
import { makeRng } from "../../util/rng.ts";
import { StatsCollector, type ValueStats } from "./histogram.ts";
import { rangeOf } from "./observer.ts";
import { activationParams } from "./params.ts";

function statsOf(...batches: (readonly number[])[]): ValueStats {
  const collector = new StatsCollector();
  for (const batch of batches) collector.add(batch);
  return collector.stats();
}

const normals = (n: number, seed = 1): number[] => {
  const rng = makeRng(seed);
  return Array.from({ length: n }, () => rng.normal());
};

/** N(0, 1) many times over, and one outlier at 100. */
function withOutlier(): ValueStats {
  const s = statsOf([...normals(100_000), 100]);
  const last = s.positive.length - 1;
  return {
    ...s,
    count: (s.count - 1) * 200 + 1,
    positive: s.positive.map((n, k) => (k === last ? n : n * 200)),
    negative: s.negative.map((n) => n * 200),
  };
}

test("one outlier: min-max keeps it, percentile, mse and entropy do not", () => {
  const s = withOutlier();
  assert.equal(rangeOf(s, { kind: "min-max" }).max, 100);
  for (const kind of ["percentile", "mse", "entropy"] as const) {
    const { min, max } = rangeOf(s, { kind });
    assert.ok(max > 2 && max < 10, `${kind}: max ${max}`);
    assert.ok(min < -2 && min >= s.min, `${kind}: min ${min}`);
  }
});

test("entropy keeps the full range of a few values, which leave the histogram nearly empty", () => {
  const values = normals(800).map((x) => Math.abs(x) ** 3);
  assert.equal(rangeOf(statsOf(values), { kind: "entropy" }).max, Math.max(...values));
});

test("percentile leaves out what it says", () => {
  const values = Array.from({ length: 10_000 }, (_, i) => (i + 1) / 10_000);
  const { min, max } = rangeOf(statsOf(values), { kind: "percentile", p: 90 });
  assert.equal(min, 0);
  assert.ok(Math.abs(max - 0.9) < 2e-3, `${max}`);
});

test("moving average follows batches, min-max holds their extremes", () => {
  const s = statsOf([-1, 1], [-3, 2]);
  assert.deepEqual(rangeOf(s, { kind: "min-max" }), { min: -3, max: 2 });
  const r = rangeOf(s, { kind: "moving-average" });
  assert.ok(Math.abs(r.min + 1.2) < 1e-12 && Math.abs(r.max - 1.1) < 1e-12, `${r.min} ${r.max}`);
});

test("later batches add bins and keep counts", () => {
  const s = statsOf([1, -1], [2.5, 1e9]);
  assert.equal(s.max, 1e9);
  const total = [...s.positive, ...s.negative].reduce((a, b) => a + b, 0);
  assert.equal(total, 4);
  const small = statsOf([1], [2.5]);
  assert.equal(small.positive[Math.floor(2.5 / small.width)], 1);
});

test("ranges contain 0 and constant values are fine", () => {
  for (const kind of ["min-max", "percentile", "mse", "entropy", "moving-average"] as const) {
    assert.equal(rangeOf(statsOf(normals(1000).map((x) => Math.abs(x) + 5)), { kind }).min, 0);
    assert.deepEqual(rangeOf(statsOf([0, 0]), { kind }), { min: 0, max: 0 });
  }
  assert.deepEqual(activationParams({ min: 0, max: 0 }).scale, [1]);
});

test("8 bits of a uniform signal have an SQNR of 6.02 * 8 dB", () => {
  const rng = makeRng(3);
  const values = Array.from({ length: 50_000 }, () => Math.fround(rng.next() * 2 - 1));
  const { scale, zeroPoint } = activationParams(rangeOf(statsOf(values), { kind: "min-max" }));
  let [signal, noise] = [0, 0];
  for (const x of values) {
    const q = quantizeValue(x, scale[0]!, zeroPoint[0]!, "i8");
    signal += x * x;
    noise += (x - dequantizeValue(q, scale[0]!, zeroPoint[0]!)) ** 2;
  }
  const sqnr = 10 * Math.log10(signal / noise);
  assert.ok(Math.abs(sqnr - 6.02 * 8) < 0.3, `${sqnr} dB`);
});
