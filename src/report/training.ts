/** @file The curves of a training run as one HTML file that reloads itself while the run goes on. */
import { asGiven, fixed, short } from "./format.ts";
import { type Html, html, NOTHING } from "./markup.ts";
import { page } from "./page.ts";
import { linearScale, logScale, type Scale } from "./scale.ts";

export interface CurvePoint {
  readonly step: number;
  readonly value: number;
}

/** A line of a chart. */
export interface Curve {
  readonly name: string;
  readonly kind: "train" | "evaluation";
  readonly points: readonly CurvePoint[];
}

export interface Chart {
  readonly title: string;
  readonly curves: readonly Curve[];
  /** "log" for losses and rates that span powers of ten. */
  readonly scale: "linear" | "log";
}

export interface TrainingPage {
  readonly title: string;
  /** What is going on, in a sentence. */
  readonly status: string;
  readonly running: boolean;
  readonly steps: number;
  readonly charts: readonly Chart[];
  readonly facts: readonly (readonly [string, string])[];
}

/** Seconds between reloads. */
const RELOAD = 5;

const WIDTH = 620;
const HEIGHT = 300;
const LEFT = 62;
const RIGHT = WIDTH - 14;
const TOP = 14;
const BOTTOM = HEIGHT - 44;
/** Points a line is drawn with at most. */
const DRAWN = 400;

const CURVES = `
.curve { fill: none; stroke: var(--mark); stroke-width: 1.5; stroke-linejoin: round; }
.curve.evaluation { stroke: var(--other); stroke-width: 2; }
.dot { fill: var(--other); }
svg text.train { fill: var(--mark); } svg text.evaluation { fill: var(--other); }
`;

/** Means of neighbours, so that a long run stays a small file. */
function thinned(points: readonly CurvePoint[]): readonly CurvePoint[] {
  const every = Math.ceil(points.length / DRAWN);
  if (every <= 1) return points;
  return Array.from({ length: Math.ceil(points.length / every) }, (_, i) => {
    const part = points.slice(i * every, (i + 1) * every);
    const mean = (f: (p: CurvePoint) => number): number =>
      part.reduce((a, p) => a + f(p), 0) / part.length;
    return { step: Math.round(mean((p) => p.step)), value: mean((p) => p.value) };
  });
}

function yScale(values: readonly number[], scale: Chart["scale"]): Scale {
  const low = Math.min(...values);
  const high = Math.max(...values);
  if (scale === "log" && low > 0 && high / low > 20) return logScale(values, BOTTOM, TOP);
  const space = (high - low) * 0.06 || Math.abs(high) * 0.05 || 1;
  return linearScale(low - space, high + space, BOTTOM, TOP);
}

function line({ kind, points }: Curve, x: Scale, y: Scale): Html {
  const path = points.map((p, i) => `${i === 0 ? "M" : "L"}${at(x, p.step)} ${at(y, p.value)}`);
  const dots =
    kind === "train" && points.length > 1
      ? NOTHING
      : html`${points.map((p) => html`<circle class="dot" cx="${x.at(p.step)}" cy="${y.at(p.value)}" r="3"><title>step ${fixed(p.step)}: ${short(p.value)}</title></circle>`)}`;
  return html`<path class="curve ${kind}" d="${path.join("")}"/>${dots}`;
}

const at = (scale: Scale, v: number): string => scale.at(v).toFixed(1);

function drawn(chart: Chart, steps: number, id: string): Html {
  const curves = chart.curves
    .map((c) => ({ ...c, points: thinned(c.points.filter((p) => Number.isFinite(p.value))) }))
    .filter((c) => c.points.length > 0);
  if (curves.length === 0) return NOTHING;
  const y = yScale(
    curves.flatMap((c) => c.points.map((p) => p.value)),
    chart.scale,
  );
  const x = linearScale(0, steps, LEFT, RIGHT);
  const xs = x.ticks.map(
    (t) =>
      html`<path class="grid" d="M${x.at(t)} ${TOP}V${BOTTOM}"/><text class="tick" text-anchor="middle" x="${x.at(t)}" y="${BOTTOM + 16}">${fixed(t)}</text>`,
  );
  const ys = y.ticks.map(
    (t) =>
      html`<path class="grid" d="M${LEFT} ${y.at(t)}H${RIGHT}"/><text class="tick" text-anchor="end" x="${LEFT - 6}" y="${y.at(t) + 4}">${asGiven(t)}</text>`,
  );
  const names = curves.map(
    (c, i) =>
      html`<text class="${c.kind}" text-anchor="end" x="${RIGHT - 6}" y="${TOP + 14 + 16 * i}">${c.name} ${short(c.points.at(-1)!.value)}</text>`,
  );
  const last = curves.map((c) => `${c.name} ${short(c.points.at(-1)!.value)}`).join(", ");
  return html`<figure><figcaption>${chart.title}</figcaption><div class="scroll" role="region" aria-label="${chart.title}" tabindex="0"><svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-labelledby="${id}-title ${id}-description">
<title id="${id}-title">${chart.title} against steps</title><desc id="${id}-description">Latest values: ${last}.</desc>
${xs}${ys}<path class="axis" d="M${LEFT} ${TOP}V${BOTTOM}H${RIGHT}"/>
<text class="title" text-anchor="middle" x="${(LEFT + RIGHT) / 2}" y="${HEIGHT - 8}">Steps</text>
${curves.map((c) => line(c, x, y))}${names}
</svg></div></figure>`;
}

/** The page as a complete document: no script, nothing from elsewhere. Every string is escaped. */
export function renderTraining(training: TrainingPage): string {
  const { title, status, running, steps, charts, facts } = training;
  const body = html`<main><h1>${title}</h1>
<p class="verdict">${status}</p>
<div class="charts">${charts.map((c, i) => drawn(c, steps, `chart${i}`))}</div>
<section><h2>Run</h2><dl>${facts.map(([k, v]) => html`<dt>${k}</dt><dd>${v}</dd>\n`)}</dl></section>
</main>`;
  return page(title, body, { style: CURVES, ...(running && { reload: RELOAD }) });
}
