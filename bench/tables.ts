/** @file A benchmark's results as Markdown. */

import { TOLERANCE } from "./compare-results.ts";
import { DTYPES, type ModelDType } from "./models/index.ts";
import {
  type BenchReport,
  geometricMean,
  type Measured,
  ratios,
  type Side,
  type Statistic,
  type Verdict,
} from "./results.ts";
import { RUNS } from "./runs.ts";

type Cells = readonly string[];

export function markdownTable(header: Cells, rows: readonly Cells[], left = 1): string {
  const rule = header.map((_, i) => (i < left ? "---" : "---:"));
  return [header, rule, ...rows].map((cells) => `| ${cells.join(" | ")} |\n`).join("");
}

/** Three digits that count. */
export const digits = (x: number): string =>
  x >= 100 ? x.toFixed(0) : x >= 10 ? x.toFixed(1) : x >= 1 ? x.toFixed(2) : x.toFixed(3);

function cell(m: Measured | undefined): string {
  if (m === undefined) return "";
  if (m.timing === null) return m.difference > TOLERANCE[m.dtype] ? "wrong" : "failed";
  const { p10Ms, p50Ms, p90Ms } = m.timing;
  return `${digits(p50Ms)} (${digits(p10Ms)}-${digits(p90Ms)})`;
}

/** One row a model, one column a run. */
function latencies({ measured }: BenchReport, dtype: ModelDType): string {
  const here = measured.filter((m) => m.dtype === dtype);
  const runs = RUNS.filter(({ id }) => here.some((m) => m.run === id));
  const models = [...new Set(here.map((m) => m.model))];
  const rows = models.map((model) => {
    const of = (run: string): Measured | undefined =>
      here.find((m) => m.model === model && m.run === run);
    const macs = here.find((m) => m.model === model)!.macs;
    return [model, digits(macs / 1e6), ...runs.map(({ id }) => cell(of(id)))];
  });
  return markdownTable(["model", "MMAC", ...runs.map(({ label }) => label)], rows);
}

const COMPARISONS: readonly (readonly [what: string, slow: Side, fast: Side])[] = [
  ["WASM over onnxruntime-web, f32", ["ort-web", "f32"], ["wasm", "f32"]],
  ["WASM over onnxruntime-web, int8", ["ort-web", "int8"], ["wasm", "int8"]],
  ["WASM over TensorFlow.js wasm, f32", ["tfjs", "f32"], ["wasm", "f32"]],
  ["WASM int8 over f32", ["wasm", "f32"], ["wasm", "int8"]],
  ["WASM, 2 threads over 1, f32", ["wasm", "f32"], ["wasm-2t", "f32"]],
  [
    "WASM, 2 threads, over onnxruntime-web, 2 threads, f32",
    ["ort-web-2t", "f32"],
    ["wasm-2t", "f32"],
  ],
  ["WASM 256-bit over onnxruntime-node, f32", ["ort-node", "f32"], ["wasm256", "f32"]],
  ["native over onnxruntime-node, f32", ["ort-node", "f32"], ["native", "f32"]],
  ["native over onnxruntime-node, int8", ["ort-node", "int8"], ["native", "int8"]],
  ["native, 2 threads over 1, f32", ["native", "f32"], ["native-2t", "f32"]],
];

/** One column a comparison would be too wide: one row each, models as columns. */
function speedUps(report: BenchReport): string {
  const models = [...new Set(report.measured.map((m) => m.model))];
  const rows = COMPARISONS.flatMap(([what, slow, fast]) => {
    const found = ratios(report, slow, fast);
    if (found.length === 0) return [];
    const mean = (statistic: Statistic): string =>
      geometricMean(ratios(report, slow, fast, statistic).map(({ ratio }) => ratio)).toFixed(2);
    const of = (model: string): string =>
      found.find((f) => f.model === model)?.ratio.toFixed(2) ?? "";
    return [[what, `**${mean("p50Ms")}**`, mean("p10Ms"), ...models.map(of)]];
  });
  if (rows.length === 0) return "";
  return `Speed-ups (times of the second over the first)\n\n${markdownTable(["", "geometric mean", "of 10th percentiles", ...models], rows)}\n`;
}

function figures(report: BenchReport): string {
  if (report.figures.length === 0) return "";
  const kB = (x: number): string => (x / 1000).toFixed(1);
  const rows = report.figures.map((f) => [
    f.model,
    f.dtype,
    kB(f.codeGzipBytes),
    kB(f.plannedBytes),
    kB(f.linearBytes),
    kB(f.residentBytes),
    f.coldStartMs.toFixed(1),
  ]);
  const header = [
    "model",
    "type",
    "code after gzip, kB",
    "planned memory, kB",
    "linear memory, kB",
    "resident growth, kB",
    "cold start, ms",
  ];
  return `${markdownTable(header, rows, 2)}\n`;
}

function gemm(report: BenchReport): string {
  if (report.gemm.length === 0) return "";
  const rows = report.gemm.flatMap(({ target, kernel, peaks }) =>
    [kernel, ...peaks].map(({ what, gflops }) => [target, what, gflops.toFixed(1)]),
  );
  return `Matrix product of 256 x 256 x 256 and bare fused multiply-adds\n\n${markdownTable(["target", "kernel", "GFLOP/s"], rows, 2)}\n`;
}

/** Largest difference of each run from the reference, over the models. */
function agreement({ measured }: BenchReport): string {
  const rows = RUNS.flatMap(({ id, label }) => {
    const here = measured.filter((m) => m.run === id);
    if (here.length === 0) return [];
    const worst = DTYPES.map((dtype) => {
      const found = here.filter((m) => m.dtype === dtype);
      if (found.length === 0) return "";
      const top = found.reduce((a, b) => (b.difference > a.difference ? b : a));
      return `${top.difference.toExponential(1)} (${top.model})`;
    });
    return [[label, ...worst]];
  });
  return `Largest difference from the reference results, over their largest magnitude\n\n${markdownTable(["", ...DTYPES], rows)}\n`;
}

const word = ({ met }: Verdict): string => (met === null ? "unknown" : met ? "met" : "NOT MET");

const list = (title: string, lines: readonly string[]): string =>
  lines.length === 0 ? "" : `${title}\n\n${lines.map((line) => `- ${line}\n`).join("")}\n`;

export function markdownOf(report: BenchReport): string {
  const { machine, verdicts, refused, missing } = report;
  const { cpu, cores, os, node } = machine;
  const tables = DTYPES.filter((d) => report.measured.some((m) => m.dtype === d)).map(
    (d) => `${d}, median milliseconds (10th to 90th percentile)\n\n${latencies(report, d)}\n`,
  );
  const targets = verdicts.map((v) => [v.what, v.target, v.measured, word(v)]);
  const notes = refused.map((r) => `${r.model} ${r.dtype}, ${r.run}: ${r.reason}`);
  return [
    `${report.date}, ${cpu}, ${cores} cores, ${os}, Node ${node}; ${report.seconds} s each\n\n`,
    ...tables,
    speedUps(report),
    figures(report),
    gemm(report),
    agreement(report),
    `Targets\n\n${markdownTable(["figure", "target", "measured", ""], targets, 4)}\n`,
    list("Not timed", notes),
    list("Models that are not here", missing),
  ].join("");
}
