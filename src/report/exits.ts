/** @file The report of early exits: the model as given beside the one that stops early, and what each exit takes. */
import type { MetricValue } from "../optimize/metrics.ts";
import { head, lossText } from "./distil.ts";
import { asGiven, decimalsFor, duration, fixed, range, short } from "./format.ts";
import { items } from "./html.ts";
import { cutName, type Html, html, NOTHING } from "./markup.ts";
import { page } from "./page.ts";
import { type Point, type PointKind, scatter } from "./scatter.ts";

/** Mean time of a row over real rows, in milliseconds; the median and the range of several passes. */
export interface MeanLatency {
  readonly meanMs: number;
  readonly lowMs: number;
  readonly highMs: number;
}

/** A way to run the model. */
export interface ExitModel {
  readonly name: string;
  readonly description: string;
  readonly kind: "given" | "whole" | "one exit" | "chosen" | "int8";
  /** Top-1 in per cent. */
  readonly accuracy: MetricValue;
  /** Points lost against the model as given, on the same rows; null: it is that. */
  readonly drop: MetricValue | null;
  /** Of a row. */
  readonly meanMacs: number;
  readonly parameters: number;
  /** Code and weights; null: not a model by itself. */
  readonly bytes: { readonly total: number; readonly gzip: number } | null;
  readonly latency: MeanLatency | null;
}

/** What an exit takes at the threshold; the last is the end of the network. */
export interface ExitRow {
  readonly name: string;
  /** Where it branches off. */
  readonly point: string;
  /** Up to here, all branches before it included. */
  readonly macs: number;
  /** Of the evaluation rows, 0 to 1. */
  readonly share: number;
  /** Of the rows that leave here; null: none does. */
  readonly accuracy: MetricValue | null;
}

/** JSON-ready. */
export interface ExitsReport {
  readonly model: string;
  readonly tersor: string;
  readonly seed: number;
  readonly engine: string;
  readonly models: readonly ExitModel[];
  readonly exits: readonly ExitRow[];
  readonly threshold: {
    readonly value: number;
    readonly confidence: "max" | "entropy";
    /** How it was found. */
    readonly rule: string;
    /** What it gives on the rows it was chosen by, and what all layers give there, in per cent. */
    readonly held: {
      readonly rows: number;
      readonly accuracy: number;
      readonly whole: number;
      readonly meanMacs: number;
    };
  };
  /** Loss of the threshold against all layers on the evaluation rows, in points. */
  readonly drop: MetricValue;
  /** Thresholds and what they give on the evaluation rows. */
  readonly curve: readonly {
    readonly threshold: number;
    readonly accuracy: MetricValue;
    readonly meanMacs: number;
  }[];
  /** Rows that latencies are means of. */
  readonly timedRows: number;
  readonly training: Readonly<Record<string, string>>;
  readonly findings: readonly string[];
}

const percent = (share: number): string => `${fixed(100 * share, 1)} %`;

const apart = (a: MeanLatency, b: MeanLatency): boolean => a.highMs < b.lowMs || b.highMs < a.lowMs;

/** "1.7 times faster", as far as the passes support it. */
function speedText(given: MeanLatency, other: MeanLatency): string {
  const times = `${duration(other.meanMs)} instead of ${duration(given.meanMs)}`;
  if (!apart(given, other)) return `${times}, no difference beyond the spread of the passes`;
  const ratio = given.meanMs / other.meanMs;
  return `${times}, ${fixed(Math.max(ratio, 1 / ratio), 2)} times ${ratio > 1 ? "faster" : "slower"}`;
}

/** Differences that the measurement supports, as sentences. */
export function exitFindings(report: Omit<ExitsReport, "findings">): string[] {
  const of = (kind: ExitModel["kind"]) => report.models.find((m) => m.kind === kind);
  const [given, whole, chosen] = [of("given")!, of("whole")!, of("chosen")!];
  const { threshold, exits, drop } = report;
  const early = exits.slice(0, -1);
  const left = early.reduce((sum, e) => sum + e.share, 0);
  const ways = early.map((e) => `${percent(e.share)} at ${e.name}`).join(", ");
  const found = [
    left === 0
      ? `At the threshold ${short(threshold.value)} no evaluation row leaves early.`
      : `At the threshold ${short(threshold.value)}, ${percent(left)} of the evaluation rows leave early: ${ways}.`,
    `A row takes ${percent(chosen.meanMacs / given.meanMacs)} of the multiply-accumulates of the model as given on average, and ${speedText(given.latency!, chosen.latency!)} (mean of ${fixed(report.timedRows)} rows).`,
    lossText("the artefact at the threshold", "all layers with exits", drop),
    lossText("the artefact at the threshold", "the model as given", chosen.drop!),
  ];
  if (chosen.meanMacs >= given.meanMacs) {
    found.push(
      "That is no gain: the branches cost more than rows that leave early save. Take fewer or later exits, branches without a convolution, longer training, or a lower threshold.",
    );
  }
  for (const { name, accuracy } of report.models.filter((m) => m.kind === "one exit")) {
    if (accuracy.value >= whole.accuracy.value / 2) continue;
    found.push(
      `${name} alone is right for ${fixed(accuracy.value, 1)} % of the rows, the end for ${fixed(whole.accuracy.value, 1)} %: it has hardly learned. Train longer, take a later place, or leave it out.`,
    );
  }
  const trained = whole.drop!;
  if (trained.value !== 0) {
    found.push(
      lossText("the network trained with exits, all layers,", "the model as given", trained),
    );
  }
  const int8 = of("int8");
  if (int8 !== undefined) {
    found.push(
      `In 8 bits a row takes ${speedText(given.latency!, int8.latency!)}.`,
      lossText("the artefact in 8 bits", "the model as given", int8.drop!),
    );
  }
  return found.map((text) => text.charAt(0).toUpperCase() + text.slice(1));
}

const within = (write: (x: number) => string, m: MetricValue | null): Html =>
  m === null
    ? html`<td>–</td>`
    : html`<td>${write(m.value)}<span class="range">${range(write, m.low, m.high)}</span></td>`;

const scrolling = (label: string, content: Html): Html =>
  html`<div class="scroll" role="region" aria-label="${label}" tabindex="0">${content}</div>`;

const points = (x: number): string => fixed(x, 2);

function modelTable(models: readonly ExitModel[]): Html {
  const decimals = decimalsFor(models.flatMap((m) => m.latency?.meanMs ?? []));
  const ms = (x: number): string => fixed(x, decimals);
  const titles = [
    ...["Model", "Top-1, %", "Loss, points", "Mean MACs", "Parameters", "Size, bytes"],
    ...["After gzip", "Mean latency, ms"],
  ];
  const latency = (m: MeanLatency | null): Html =>
    m === null
      ? html`<td>–</td>`
      : html`<td>${ms(m.meanMs)}<span class="range">${range(ms, m.lowMs, m.highMs)}</span></td>`;
  const size = (x: number | undefined): Html => html`<td>${x === undefined ? "–" : fixed(x)}</td>`;
  const rows = models.map(
    (m) =>
      html`<tr${m.kind === "chosen" ? html` class="chosen"` : NOTHING}><th class="name" scope="row">${m.name}<span class="about-recipe">${m.description}</span></th>${within(points, m.accuracy)}${within(points, m.drop)}<td>${fixed(m.meanMacs)}</td><td>${fixed(m.parameters)}</td>${size(m.bytes?.total)}${size(m.bytes?.gzip)}${latency(m.latency)}</tr>\n`,
  );
  return scrolling(
    "Models",
    html`<table class="wide">${head(titles)}<tbody>${rows}</tbody></table>`,
  );
}

function exitTable({ exits }: ExitsReport): Html {
  const whole = exits.at(-1)!.macs;
  const titles = [
    "Exit",
    "Branches off",
    "MACs up to it",
    "Of all, %",
    "Rows, %",
    "Top-1 of these, %",
  ];
  const rows = exits.map(
    (e) =>
      html`<tr><th class="name" scope="row">${e.name}</th><td>${cutName(e.point)}</td><td>${fixed(e.macs)}</td><td>${fixed((100 * e.macs) / whole, 1)}</td><td>${fixed(100 * e.share, 1)}</td>${within(points, e.accuracy)}</tr>\n`,
  );
  return scrolling("Exits", html`<table>${head(titles)}<tbody>${rows}</tbody></table>`);
}

const KINDS: Readonly<Record<ExitModel["kind"], PointKind>> = {
  given: "baseline",
  whole: "accepted",
  "one exit": "rejected",
  chosen: "chosen",
  int8: "accepted",
};

function chart({ models, curve }: ExitsReport): Html {
  const point = (label: string, kind: PointKind, macs: number, m: MetricValue): Point => ({
    ...{ label, kind, x: macs / 1e6 },
    ...{ y: m.value, low: m.low, high: m.high },
  });
  const all = [
    ...models.map((m) => point(m.name, KINDS[m.kind], m.meanMacs, m.accuracy)),
    ...curve.map((c) => point(asGiven(c.threshold), "accepted", c.meanMacs, c.accuracy)),
  ];
  const widest = Math.max(...all.map((p) => p.x));
  const svg = scatter(all, {
    ...{ id: "by-macs", title: "Accuracy against mean operations" },
    ...{ xTitle: "Mean multiply-accumulates of a row, millions", yTitle: "Top-1, %" },
    description: `${all.length} ways to run the model; those by name are in the table.`,
    xTick: (x) => fixed(x, widest < 1 ? 3 : widest < 10 ? 1 : 0),
    ...{ yTick: (y) => fixed(y, 1), yValue: (y) => fixed(y, 2) },
    ...{ yScale: "linear", yCeiling: 100 },
  });
  return html`<figure>${scrolling("Chart by operations", svg)}</figure><p class="note">Square: the model as given. Ringed: at the threshold; hollow: always the same exit; numbers: other thresholds. Vertical strokes: 95 % intervals.</p>`;
}

/** The report as a complete HTML document. Every string of the report is escaped. */
export function renderExitsReport(report: ExitsReport): string {
  const { model, tersor, threshold, training, engine, seed, timedRows } = report;
  const { held } = threshold;
  const sure =
    threshold.confidence === "max"
      ? "the largest probability"
      : "1 minus the entropy over that of equal probabilities";
  const entries = [
    [
      "Threshold",
      `${asGiven(threshold.value)} of ${sure}; ${threshold.rule}. On the ${fixed(held.rows)} rows held apart: ${fixed(held.accuracy, 2)} %, all layers ${fixed(held.whole, 2)} %, ${fixed(held.meanMacs)} MACs.`,
    ],
    ...Object.entries(training),
    [
      "Latency",
      `mean over ${fixed(timedRows)} evaluation rows, each by itself, of the artefacts' run in WebAssembly on one thread; all in turn, pass by pass; the range is that of the passes.`,
    ],
    [
      "95 % intervals",
      "Wilson score interval for accuracy; interval for paired proportions (Agresti and Min 2005) for losses against the model as given on the same rows.",
    ],
    ["Engine", engine],
    ["Seed", String(seed)],
    ["Version", `tersor ${tersor}`],
  ] as const;
  const body = html`<main>
<h1>${cutName(model)} with early exits</h1>
<p class="about">Report of tersor ${tersor}</p>
<section><h2>Findings</h2>${items(report.findings)}</section>
<section><h2>Models</h2>${chart(report)}${modelTable(report.models)}</section>
<section><h2>Exits at the threshold</h2>${exitTable(report)}</section>
<section><h2>How it was done</h2><dl>${entries.map(([k, v]) => html`<dt>${k}</dt><dd>${v}</dd>\n`)}</dl></section>
</main>`;
  return page(`${cutName(model)}: tersor early exits`, body);
}
