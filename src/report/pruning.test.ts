import assert from "node:assert/strict";
import { test } from "node:test";
import { HOSTILE, unclosed, withStrings } from "../../test/support/pages.ts";
import { renderPruning } from "./pruning.ts";
import type { PruneReport, PruneVariant } from "./pruning-types.ts";

const variant = (
  name: string,
  value: number,
  cost: number,
  measured: number | null,
): PruneVariant => ({
  ...{ name, about: `the ${name} model`, value, macs: 1e6 * cost, weightBytes: 4e4 * cost },
  ...{ onnxBytes: 5e4 * cost, gzipBytes: 4.5e4 * cost, predictedMs: 2 * cost },
  measured:
    measured === null ? null : { p10Ms: 0.9 * measured, p50Ms: measured, p90Ms: 1.2 * measured },
  ...{ seconds: null, epochs: null },
});

/** Made up, with as many groups as asked for. */
function sample(groups: number): PruneReport {
  const names = Array.from({ length: groups }, (_, i) => `layer${i}`);
  const points = (i: number) =>
    [0.1, 0.5, 0.9].map((ratio) => ({ ratio, gone: 20 * ratio, value: 90 - i * ratio }));
  return {
    ...{ model: "net.onnx", tersor: "1.0", command: ["prune", "net.onnx"], method: "taylor" },
    ...{ target: "target macs=50%", metric: "accuracy", better: "high", seed: 7, engine: "wasm" },
    data: { train: "a.npz", trainCount: 1000, evaluation: "b.npz", evaluationCount: 100 },
    machine: "a machine",
    variants: [
      variant("original", 90, 1, 3),
      variant("pruned", 40, 0.5, null),
      variant("fine-tuned", 89.5, 0.5, 1.5),
    ],
    result: "fine-tuned",
    rounds: [
      { round: 1, removed: 0.2, macs: 7.5e5, pruned: 60, tuned: 89 },
      { round: 2, removed: 0.4, macs: 5e5, pruned: 40, tuned: null },
    ],
    layers: [
      {
        name: "conv",
        op: "conv",
        channels: [8, 4],
        macs: [100, 50],
        bytes: [40, 20],
        zeros: [0, 0],
        times: { predictedMs: [0.9, 0.5], measuredMs: [0.8, 0.4] },
      },
    ],
    rest: { predictedMs: [0.1, 0.1], measuredMs: [0.3, 0.2] },
    stored: [{ what: "ONNX without zeros", raw: [4e6, 1e6], gzip: [3e6, 6e5] }],
    sensitivity: {
      ...{ base: 90, better: "high", rows: 50, chosen: { layer0: 0.5 } },
      curves: names.map((group, i) => ({ group, count: 20, points: points(i) })),
    },
    notes: ["a note"],
  };
}

test("the page says what changed, at what price", () => {
  const page = renderPruning(sample(3));
  assert.match(page, /50\.0 % of the multiply-accumulates and 50\.0 % of the bytes/);
  assert.match(
    page,
    /accuracy 90\.00 % became 89\.50 %\. Measured: 3\.00 ms became 1\.50 ms \(2\.00 times/,
  );
  assert.match(page, /<td>8 → 4<\/td>/);
  assert.match(page, /<td>0\.900 ms → 0\.500 ms<\/td><td>0\.800 ms → 0\.400 ms<\/td><\/tr>/);
  assert.match(page, /All else.*<td>0\.100 ms<\/td><td>0\.300 ms → 0\.200 ms<\/td>/);
  assert.match(page, /On disk[\s\S]*ONNX without zeros<\/th><td>4[.\d]* MB<[\s\S]*25\.0 %/);
  assert.match(page, /layer0: lost 50\.0 %/);
  assert.deepEqual(unclosed(page), []);
  assert.doesNotMatch(page, /https?:|<script|<link|<img|@import|url\(|\son\w+=|\sstyle="/i);
  const few = renderPruning({ ...sample(3), sensitivity: null, rounds: [], notes: [] });
  assert.doesNotMatch(few, /Sensitivity|Rounds/);
});

test("names of many groups do not lie on one another, and coordinates are finite", () => {
  const page = renderPruning(sample(60));
  assert.doesNotMatch(page, /NaN|Infinity/);
  const labels = [...page.matchAll(/<text class="tick" x="[\d.]+" y="([\d.]+)">layer\d+</g)];
  const ys = labels.map((m) => Number(m[1])).sort((a, b) => a - b);
  assert.equal(ys.length, 60);
  ys.slice(1).forEach((y, i) => {
    assert.ok(y - ys[i]! > 13, `${ys[i]} and ${y}`);
  });
});

test("hostile strings are shown, never interpreted", () => {
  const report = sample(2);
  const kept = { metric: report.metric, better: report.better } as const;
  const page = renderPruning({ ...withStrings(report, HOSTILE), ...kept });
  assert.doesNotMatch(page, /<script|\u202e/);
  assert.ok(!page.includes("\0"));
  assert.deepEqual(unclosed(page), []);
});
