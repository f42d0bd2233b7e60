/** @file An OptimizeReport as one HTML file: no network, no script, fit for a strict content security policy. */
import type { OptimizeReport } from "../optimize/types.ts";
import { layerBars } from "./bars.ts";
import { asGiven, bytes, decimalsFor, fixed, METRICS, powerOfTen } from "./format.ts";
import { cutName, type Html, html, NOTHING } from "./markup.ts";
import { page } from "./page.ts";
import { type Point, type ScatterOptions, scatter } from "./scatter.ts";
import { selectionSection } from "./selection.ts";
import { candidateTable, capital, layerTable, summaryTable } from "./tables.ts";
import { limitPhrases, verdict } from "./verdict.ts";

const SLOWEST = 15;

/** The report as a complete HTML document. Every string of the report is escaped. */
export function renderReport(report: OptimizeReport): string {
  const { baseline, chosen } = report;
  const title = `${cutName(report.model)}: tersor report`;
  const body = html`<main>
<h1>${cutName(report.model)}</h1>
<p class="about">Report of tersor ${report.tersor}</p>
<p class="verdict${chosen === null ? " none" : ""}">${verdict(report)}</p>
${limitsAsked(report)}
${chosen === null ? NOTHING : summaryTable(baseline, chosen)}
${findings(report.findings)}
<section><h2>Candidates</h2>${charts(report)}${candidateTable(report)}</section>
${layers(report)}
${selectionSection(report.selection)}
${method(report)}
</main>`;
  return page(title, body);
}

export const items = (texts: readonly string[]): Html =>
  html`<ul>${texts.map((t) => html`<li>${t}</li>\n`)}</ul>`;

function limitsAsked(report: OptimizeReport): Html {
  const phrases = limitPhrases(report);
  return html`<p class="note">Limits asked: ${phrases.length === 0 ? "none" : phrases.join("; ")}.</p>`;
}

const findings = (texts: readonly string[]): Html =>
  texts.length === 0 ? NOTHING : html`<section><h2>Findings</h2>${items(texts)}</section>`;

function points(report: OptimizeReport, x: (c: OptimizeReport["baseline"]) => number): Point[] {
  const { baseline, candidates, chosen } = report;
  const all = candidates.map((c): Point => {
    const kind = c.recipe === chosen?.recipe ? "chosen" : c.accepted ? "accepted" : "rejected";
    const cost = x({ ...c, weightBytes: c.bytes.weights });
    return { label: c.recipe, kind, x: cost, y: c.value, low: c.low, high: c.high };
  });
  const { value, low, high } = baseline;
  return [{ label: "baseline", kind: "baseline", x: x(baseline), y: value, low, high }, ...all];
}

/** Options that both charts share: the metric's axis. */
function metricAxis(
  report: OptimizeReport,
): Pick<
  ScatterOptions,
  "yTitle" | "yTick" | "yValue" | "yScale" | "yFloor" | "yCeiling" | "yLimit"
> {
  const { baseline, limits } = report;
  const words = METRICS[baseline.metric];
  const yValue = words.value;
  const yTick = words.rising ? (y: number): string => fixed(y, 1) : powerOfTen;
  const limited = Number.isFinite(limits.maxDrop);
  if (!words.rising) {
    const limit = limited && limits.maxDrop > 0 ? { yLimit: limits.maxDrop } : {};
    return { yTitle: words.header, yTick, yValue, yScale: "log", ...limit };
  }
  const spread = baseline.high - baseline.low;
  const yFloor = baseline.value - Math.max(limited ? 4 * limits.maxDrop : 0, 3 * spread, 2);
  const limit = limited ? { yLimit: baseline.value - limits.maxDrop } : {};
  return { yTitle: words.header, yTick, yValue, yScale: "linear", yFloor, yCeiling: 100, ...limit };
}

function charts(report: OptimizeReport): Html {
  const { baseline, limits, candidates } = report;
  const name = capital(METRICS[baseline.metric].name);
  const axis = metricAxis(report);
  const seen = `${candidates.length} candidates and the baseline; all values are in the table of candidates.`;
  const sizes = points(report, (c) => c.bytes.total);
  const [unit, word] = Math.max(...sizes.map((p) => p.x)) >= 2e6 ? [1e6, "MB"] : [1e3, "kB"];
  const times = points(report, (c) => c.latency.p50Ms);
  const timeDecimals = Math.max(...times.map((p) => p.x)) >= 10 ? 0 : 1;
  const fine = Math.max(...times.map((p) => p.x)) < 0.5 ? 3 : timeDecimals;
  const bySize = scatter(sizes, {
    ...axis,
    id: "by-size",
    title: `${name} against size`,
    description: seen,
    xTitle: `Code and weights, ${word}`,
    xTick: (x) => fixed(x / unit, unit === 1e6 ? 1 : 0),
    ...(limits.maxBytes === undefined ? {} : { xLimit: limits.maxBytes }),
  });
  const byTime = scatter(times, {
    ...axis,
    id: "by-latency",
    title: `${name} against latency`,
    description: seen,
    xTitle: "Median latency, ms",
    xTick: (x) => fixed(x, fine),
    ...(limits.maxLatencyMs === undefined ? {} : { xLimit: limits.maxLatencyMs }),
  });
  const legend =
    "Square: baseline. Filled: within the limits; ringed: chosen; hollow: not within the limits. Vertical strokes: 95 % intervals. Triangle: the value is below the axis.";
  const figure = (label: string, svg: Html): Html =>
    html`<figure><div class="scroll" role="region" aria-label="${label}" tabindex="0">${svg}</div></figure>`;
  return html`<div class="charts">${figure("Chart by size", bySize)}${figure("Chart by latency", byTime)}</div><p class="note">${legend}</p>`;
}

function layers(report: OptimizeReport): Html {
  if (report.layers.length === 0) return NOTHING;
  const slowest = [...report.layers].sort((a, b) => b.measuredMs - a.measuredMs).slice(0, SLOWEST);
  const whose = report.chosen === null ? "the baseline" : report.chosen.recipe;
  const decimals = decimalsFor(slowest.map((l) => l.measuredMs));
  return html`<section><h2>Layers of ${whose}</h2>
<figure class="long"><figcaption>The ${slowest.length} slowest of ${report.layers.length} layers</figcaption><div class="scroll" role="region" aria-label="Chart of the slowest layers" tabindex="0">${layerBars(slowest, decimals)}</div></figure>
${layerTable(report.layers)}</section>`;
}

/** A setting as text: numbers, strings and lists of them. */
function setting(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(setting).join(", ")}]`;
  if (typeof value === "object" && value !== null) {
    return Object.entries(value)
      .map(([k, v]) => `${k}: ${setting(v)}`)
      .join(", ");
  }
  return typeof value === "number" ? asGiven(value) : String(value);
}

const INTERVALS = {
  top1: "Wilson score interval for the metric; interval for paired proportions (Agresti and Min 2005) for the drop on the same rows.",
  agreement: "Wilson score interval.",
  mse: "bootstrap percentile interval, 1 000 seeded resamples of the rows.",
} as const;

function method(report: OptimizeReport): Html {
  const { rows, baseline } = report;
  const settings = setting(report.preprocess) || "none";
  const entries: readonly (readonly [string, string])[] = [
    [
      "Rows",
      `${fixed(rows.calibration)} for calibration, ${fixed(rows.evaluation)} for evaluation. ${rows.note}`,
    ],
    ["Metric", `${METRICS[baseline.metric].name}, on the evaluation rows only.`],
    ["95 % intervals", INTERVALS[baseline.metric]],
    [
      "Latency",
      "median of single inferences after warm-up; candidates measured in turn, round by round; the range is that of the rounds' medians.",
    ],
    [
      "Sizes",
      `the WebAssembly module with its weights; gzip at the engine's default level. Weights in the source model: ${bytes(baseline.weightBytes)}.`,
    ],
    ["Engine", report.engine],
    ["Preprocessing", settings],
    ["Seed", String(report.seed)],
    ["Version", `tersor ${report.tersor}`],
  ];
  return html`<section><h2>How it was measured</h2><dl>${entries.map(([k, v]) => html`<dt>${k}</dt><dd>${v}</dd>\n`)}</dl></section>`;
}
