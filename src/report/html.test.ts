import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { sampleReport } from "../../test/support/optimize-report.ts";
import { HOSTILE, unclosed, withStrings } from "../../test/support/pages.ts";
import type { OptimizeReport } from "../optimize/types.ts";
import { renderReport } from "./html.ts";

const GOLDEN = join(import.meta.dirname, "../../test/golden/report.html");
const page = renderReport(sampleReport);

test("the page of the sample report", () => {
  if (process.env["UPDATE"] === "1") writeFileSync(GOLDEN, page);
  assert.equal(page, readFileSync(GOLDEN, "utf8"), "run again with UPDATE=1 and look at it");
  assert.ok(page.length < 60_000, `${page.length} characters`);
});

test("tags nest", () => {
  assert.deepEqual(unclosed(page), []);
});

test("nothing is loaded and nothing runs", () => {
  assert.doesNotMatch(page, /https?:|<script|<link|<img|@import|url\(|\son\w+=|\sstyle="/i);
  assert.match(page, /Content-Security-Policy" content="default-src &#39;none&#39;;/);
});

test("hostile strings are shown, never interpreted", () => {
  const hostile = renderReport(withStrings(sampleReport, HOSTILE));
  assert.doesNotMatch(hostile, /<script|\u202e/);
  assert.ok(!hostile.includes("\0"));
  assert.match(hostile, /&lt;script&gt;alert\(1\)&lt;\/script&gt;&#39;&amp;\ufffd/);
  assert.deepEqual(unclosed(hostile), []);
});

test("a very long layer name is cut", () => {
  const name = `start${"x".repeat(100_000)}end`;
  const layers = sampleReport.layers.map((l) => ({ ...l, name }));
  const long = renderReport({ ...sampleReport, layers });
  assert.ok(long.length < 80_000, `${long.length} characters`);
  assert.match(long, /startx+…x+end/);
});

test("says plainly when nothing is within the limits", () => {
  const none = renderReport({ ...sampleReport, chosen: null });
  assert.match(none, /Nothing chosen: none of the 5 candidates is within the limits/);
  assert.doesNotMatch(none, /Before and after/);
});

/** The sample, with the chosen candidate's drop and latency replaced. */
function verdictWith(
  drop: readonly [number, number, number],
  latency: readonly [number, number, number],
): string {
  const chosen = {
    ...sampleReport.chosen!,
    drop: { value: drop[0], low: drop[1], high: drop[2] },
    latency: { p50Ms: latency[0], lowMs: latency[1], highMs: latency[2] },
  };
  const text = renderReport({ ...sampleReport, chosen });
  return /<p class="verdict">([^<]*)<\/p>/.exec(text)?.[1] ?? "";
}

test("tells supported differences from others", () => {
  const faster = [1, 0.9, 1.1] as const;
  assert.match(
    verdictWith([0.5, -0.2, 1.2], faster),
    /no difference that these rows support \(measured loss 0.50/,
  );
  assert.match(verdictWith([1.5, 0.4, 2.6], faster), /a loss of 1.50 \(95 % interval 0.40 to 2.60/);
  assert.match(verdictWith([-1.5, -2.6, -0.4], faster), /a gain of 1.50 \(/);
  assert.match(verdictWith([0, -0.2, 0.2], faster), /no difference \(/);
  assert.match(verdictWith([0, -0.2, 0.2], faster), /1.76 ms to 1.00 ms \(1.76 times faster\)/);
  const noisy = verdictWith([0, -0.2, 0.2], [1.7, 1.5, 1.9]);
  assert.match(noisy, /no difference beyond the spread of the rounds/);
});

test("regression metrics use a logarithmic axis and no percentages", () => {
  const asMse = <T extends object>(c: T, value: number): T & OptimizeReport["baseline"] =>
    ({
      ...c,
      metric: "mse",
      value,
      low: value * 0.8,
      high: value * 1.3,
    }) as T & OptimizeReport["baseline"];
  const candidates = sampleReport.candidates.map((c, i) => {
    const value = 10 ** (-i - 1);
    const drop = { value, low: value * 0.8, high: value * 1.3 };
    return { ...asMse(c, value), drop };
  });
  const text = renderReport({
    ...sampleReport,
    limits: { maxDrop: 0.01 },
    baseline: asMse(sampleReport.baseline, 0),
    candidates,
    chosen: candidates[3]!,
  });
  assert.match(text, /at most 0.01 squared error/);
  assert.match(text, />10⁻⁴</);
  assert.doesNotMatch(text, /NaN|Infinity|undefined/);
});

test("extreme reports have finite coordinates", () => {
  const zero = { p50Ms: 0, lowMs: 0, highMs: 0 };
  const bytes = { code: 0, weights: 0, total: 0, gzip: 0 };
  const empty: OptimizeReport = {
    ...sampleReport,
    limits: { maxDrop: Number.POSITIVE_INFINITY },
    baseline: { ...sampleReport.baseline, latency: zero, bytes, value: 0, low: 0, high: 0 },
    candidates: [],
    chosen: null,
    layers: [{ ...sampleReport.layers[0]!, measuredMs: 0, predictedMs: Number.NaN }],
    findings: [],
    preprocess: {},
  };
  assert.doesNotMatch(renderReport(empty), /NaN|Infinity|undefined/);
});
