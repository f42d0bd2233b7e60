/** @file The report of a distillation: teacher, student, control and integers side by side. */
import type { Measured, MeasuredModel } from "../optimize/measure-models.ts";
import type { MetricValue } from "../optimize/metrics.ts";
import { bytes, decimalsFor, duration, fixed, range } from "./format.ts";
import { items } from "./html.ts";
import { cutName, type Html, html, NOTHING } from "./markup.ts";
import { page } from "./page.ts";
import { type Point, type PointKind, type ScatterOptions, scatter } from "./scatter.ts";

/** JSON-ready. */
export interface DistilReport {
  /** The teacher's file. */
  readonly teacher: string;
  /** The student as written on the command line. */
  readonly student: string;
  readonly tersor: string;
  readonly seed: number;
  readonly engine: string;
  readonly models: readonly MeasuredModel[];
  readonly replaced: readonly { readonly layers: readonly string[]; readonly by: string }[];
  readonly kept: readonly { readonly name: string; readonly reason: string }[];
  /** Names of the places where attention or hints are compared. */
  readonly points: readonly { readonly student: string; readonly teacher: string }[];
  /** How it was trained: text by title. */
  readonly training: Readonly<Record<string, string>>;
  readonly findings: readonly string[];
}

const times = (before: number, after: number): string => `${fixed(before / after, 1)} times`;

const interval = ({ low, high }: MetricValue): string =>
  `95 % interval ${range((x) => fixed(x, 2), low, high)}`;

/** What the rows support about a loss in points. */
export function lossText(who: string, whom: string, drop: MetricValue): string {
  const size = `${fixed(Math.abs(drop.value), 2)} points`;
  if (drop.low > 0) return `${who} is ${size} less accurate than ${whom} (${interval(drop)}).`;
  if (drop.high < 0)
    return `${who} is ${size} more accurate than ${whom} (${interval(drop)} of loss).`;
  const measured = `measured ${fixed(drop.value, 2)} points of loss, ${interval(drop)}`;
  return `The rows support no difference of accuracy between ${who} and ${whom} (${measured}).`;
}

const apart = (a: MeasuredModel, b: MeasuredModel): boolean =>
  a.latency.highMs < b.latency.lowMs || b.latency.highMs < a.latency.lowMs;

/** Differences that the measurement supports, as sentences. */
export function distilFindings({ models, drop }: Measured): string[] {
  const [teacher, student, ...others] = models;
  if (teacher === undefined || student === undefined) return [];
  const speed = teacher.latency.p50Ms / student.latency.p50Ms;
  const way = speed > 1 ? "faster" : "slower";
  const found = [
    `The student has ${times(teacher.parameters, student.parameters)} fewer parameters and ${times(teacher.macs, student.macs)} fewer multiply-accumulates; code and weights are ${times(teacher.bytes.total, student.bytes.total)} smaller.`,
    apart(teacher, student)
      ? `It is ${fixed(Math.max(speed, 1 / speed), 1)} times ${way} as measured.`
      : "No difference of latency is supported beyond the spread of the rounds.",
  ];
  const against = (who: string, before: string, whom: string, after: string): void => {
    const value = drop(before, after);
    if (value !== null) found.push(lossText(who, whom, value));
  };
  against("the student", teacher.name, "the teacher", student.name);
  for (const { name, bytes: own } of others) {
    if (name === "control") {
      against("the student", name, "the control without a teacher", student.name);
      continue;
    }
    against(name, student.name, "the student", name);
    if (own.total <= student.bytes.total) continue;
    found.push(
      `${name} takes ${bytes(own.total)}, the float student ${bytes(student.bytes.total)}: weights that are made of fewer, such as hashed ones, are written out for integers.`,
    );
  }
  return found.map((text) => text.charAt(0).toUpperCase() + text.slice(1));
}

/** Titles of columns, of which the first names the row. */
export const head = (titles: readonly string[]): Html =>
  html`<thead><tr>${titles.map((t, i) => html`<th ${i === 0 ? html`class="name" ` : NOTHING}scope="col">${t}</th>`)}</tr></thead>`;

function modelTable(models: readonly MeasuredModel[]): Html {
  const decimals = decimalsFor(models.map((m) => m.latency.p50Ms));
  const ms = (x: number): string => fixed(x, decimals);
  const points = (x: number): string => fixed(x, 2);
  const value = (m: MetricValue | null): Html =>
    m === null
      ? html`<td>–</td>`
      : html`<td>${points(m.value)}<span class="range">${range(points, m.low, m.high)}</span></td>`;
  const titles = [
    ...["Model", "Top-1, %", "Loss, points", "Parameters", "MACs", "Size, bytes"],
    ...["After gzip", "Median latency, ms", "Working memory, bytes"],
  ];
  const row = (m: MeasuredModel): Html =>
    html`<tr${m.name === "student" ? html` class="chosen"` : NOTHING}><th class="name" scope="row">${m.name}<span class="about-recipe">${m.description}</span></th>${value(m.accuracy)}${value(m.drop)}<td>${fixed(m.parameters)}</td><td>${fixed(m.macs)}</td><td>${fixed(m.bytes.total)}</td><td>${fixed(m.bytes.gzip)}</td><td>${ms(m.latency.p50Ms)}<span class="range">${range(ms, m.latency.lowMs, m.latency.highMs)}</span></td><td>${fixed(m.arenaBytes)}</td></tr>\n`;
  return html`<div class="scroll" role="region" aria-label="Models" tabindex="0"><table class="wide">${head(titles)}<tbody>${models.map(row)}</tbody></table></div>`;
}

const KINDS: Readonly<Record<string, PointKind>> = {
  teacher: "baseline",
  student: "chosen",
  control: "rejected",
};

interface Axis {
  readonly id: string;
  readonly by: string;
  readonly title: string;
  readonly of: (m: MeasuredModel) => number;
  readonly tick: (x: number) => string;
}

const AXES: readonly Axis[] = [
  { id: "by-size", by: "size", title: "Code and weights", of: (m) => m.bytes.total, tick: bytes },
  {
    ...{ id: "by-macs", by: "operations", title: "Multiply-accumulates, millions" },
    ...{ of: (m: MeasuredModel) => m.macs / 1e6, tick: (x: number) => fixed(x, x < 10 ? 1 : 0) },
  },
  {
    ...{ id: "by-latency", by: "latency", title: "Median latency" },
    ...{ of: (m: MeasuredModel) => m.latency.p50Ms, tick: duration },
  },
];

/** Accuracy against one cost; models without accuracy are left out. */
export function paretoChart(
  models: readonly MeasuredModel[],
  { id, by, title, of, tick }: Axis,
  kind: (m: MeasuredModel) => PointKind,
): Html {
  const points = models.flatMap((m): Point[] => {
    if (m.accuracy === null) return [];
    const { value: y, low, high } = m.accuracy;
    return [{ label: m.name, kind: kind(m), x: of(m), y, low, high }];
  });
  const options: ScatterOptions = {
    ...{ id, title: `Accuracy against ${by}`, xTitle: title, yTitle: "Top-1, %" },
    description: `${points.length} models; all values are in the table.`,
    ...{ xTick: tick, yTick: (y) => fixed(y, 1), yValue: (y) => fixed(y, 2) },
    ...{ yScale: "linear", yCeiling: 100 },
  };
  return scatter(points, options);
}

/** Accuracy against bytes, operations and latency. */
export const paretoCharts = (
  models: readonly MeasuredModel[],
  kind: (m: MeasuredModel) => PointKind,
): readonly { readonly by: string; readonly svg: Html }[] =>
  AXES.map((axis) => ({ by: axis.by, svg: paretoChart(models, axis, kind) }));

function charts(models: readonly MeasuredModel[]): Html {
  if (models.every((m) => m.accuracy === null)) return NOTHING;
  const drawn = paretoCharts(models, (m) => KINDS[m.name] ?? "accepted");
  const figures = drawn.map(
    ({ by, svg }) =>
      html`<figure><div class="scroll" role="region" aria-label="Chart by ${by}" tabindex="0">${svg}</div></figure>`,
  );
  return html`<div class="charts">${figures}</div><p class="note">Square: teacher. Ringed: student; hollow: control. Vertical strokes: 95 % intervals.</p>`;
}

function layersReplaced({ replaced, kept, points }: DistilReport): Html {
  const rows = replaced.map(
    ({ layers, by }) =>
      html`<tr><th class="name" scope="row">${cutName(layers.join(", "))}</th><td class="text">${by}</td></tr>\n`,
  );
  const stay = kept.map(
    ({ name, reason }) =>
      html`<tr><th class="name" scope="row">${cutName(name)}</th><td class="text">stays: ${reason}</td></tr>\n`,
  );
  const pairs = points.map((p) => `${p.student} with ${p.teacher}`);
  if (rows.length + stay.length + pairs.length === 0) return NOTHING;
  const table =
    rows.length + stay.length === 0
      ? NOTHING
      : html`<table><thead><tr><th class="name" scope="col">Layers of the teacher</th><th class="text" scope="col">In the student</th></tr></thead><tbody>${rows}${stay}</tbody></table>`;
  return html`<section><h2>The student</h2>${table}${pairs.length === 0 ? NOTHING : html`<p>Compared in training:</p>${items(pairs)}`}</section>`;
}

/** The report as a complete HTML document. Every string of the report is escaped. */
export function renderDistilReport(report: DistilReport): string {
  const { findings, models, training, tersor, seed, engine } = report;
  const entries = [
    ...Object.entries(training),
    [
      "Latency",
      "median of single inferences in WebAssembly on one thread, after warm-up; models in turn, round by round; the range is that of the rounds' medians.",
    ],
    [
      "95 % intervals",
      "Wilson score interval for accuracy; interval for paired proportions (Agresti and Min 2005) for losses against the teacher on the same rows.",
    ],
    ["Engine", engine],
    ["Seed", String(seed)],
    ["Version", `tersor ${tersor}`],
  ] as const;
  const body = html`<main>
<h1>${cutName(report.teacher)} taught ${cutName(report.student)}</h1>
<p class="about">Report of tersor ${tersor}</p>
<section><h2>Findings</h2>${items(findings)}</section>
<section><h2>Models</h2>${charts(models)}${modelTable(models)}</section>
${layersReplaced(report)}
<section><h2>How it was done</h2><dl>${entries.map(([k, v]) => html`<dt>${k}</dt><dd>${v}</dd>\n`)}</dl></section>
</main>`;
  return page(`${cutName(report.teacher)}: tersor distillation`, body);
}
