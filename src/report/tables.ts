/** @file The report's tables: before and after, candidates, layers. */
import type {
  BaselineReport,
  CandidateReport,
  LayerRow,
  OptimizeReport,
} from "../optimize/types.ts";
import { cellBar } from "./bars.ts";
import { bytes, decimalsFor, duration, fixed, METRICS, range, scientific } from "./format.ts";
import { cutName, type Html, html, NOTHING } from "./markup.ts";
import { latencyChange, metricChange, sizeChange } from "./verdict.ts";

/** A table that scrolls sideways by itself, reachable by keyboard. */
const scrolling = (label: string, table: Html): Html =>
  html`<div class="scroll" role="region" aria-label="${label}" tabindex="0">${table}</div>`;

/** The chosen candidate beside the baseline. */
export function summaryTable(baseline: BaselineReport, chosen: CandidateReport): Html {
  const words = METRICS[chosen.metric];
  const value = (m: { value: number; low: number; high: number }): Html =>
    html`${words.quantity(m.value)}<span class="range">${range(words.value, m.low, m.high)}</span>`;
  const time = (l: BaselineReport["latency"]): Html =>
    html`${duration(l.p50Ms)}<span class="range">${range(duration, l.lowMs, l.highMs)}</span>`;
  const rows: readonly (readonly [string, Html, Html, string])[] = [
    [
      "Size of code and weights",
      html`${bytes(baseline.bytes.total)}`,
      html`${bytes(chosen.bytes.total)}`,
      sizeChange(baseline.bytes.total, chosen.bytes.total),
    ],
    [
      "The same after gzip",
      html`${bytes(baseline.bytes.gzip)}`,
      html`${bytes(chosen.bytes.gzip)}`,
      sizeChange(baseline.bytes.gzip, chosen.bytes.gzip),
    ],
    [capital(words.name), value(baseline), value(chosen), metricChange(chosen)],
    [
      "Median latency",
      time(baseline.latency),
      time(chosen.latency),
      latencyChange(baseline.latency, chosen.latency),
    ],
    [
      "Working memory",
      html`${bytes(baseline.arenaBytes)}`,
      html`${bytes(chosen.arenaBytes)}`,
      sizeChange(baseline.arenaBytes, chosen.arenaBytes),
    ],
  ];
  return scrolling(
    "Before and after",
    html`<table><thead><tr><th class="name" scope="col">Quantity</th><th scope="col">Before</th><th scope="col">After: ${chosen.recipe}</th><th class="text" scope="col">Change</th></tr></thead>
<tbody>${rows.map(([name, before, after, change]) => html`<tr><th class="name" scope="row">${name}</th><td>${before}</td><td>${after}</td><td class="text">${change}</td></tr>\n`)}</tbody></table>`,
  );
}

export const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

/** Every candidate, the baseline first. */
export function candidateTable(report: OptimizeReport): Html {
  const { baseline, candidates, chosen } = report;
  const words = METRICS[baseline.metric];
  const decimals = decimalsFor([baseline, ...candidates].map((c) => c.latency.p50Ms));
  const numbers = (c: BaselineReport, drop: Html): Html =>
    html`<td>${words.value(c.value)}<span class="range">${range(words.value, c.low, c.high)}</span></td><td>${drop}</td><td>${fixed(c.bytes.code)}</td><td>${fixed(c.bytes.weights)}</td><td>${fixed(c.bytes.total)}</td><td>${fixed(c.bytes.gzip)}</td><td>${fixed(c.latency.p50Ms, decimals)}<span class="range">${range((x) => fixed(x, decimals), c.latency.lowMs, c.latency.highMs)}</span></td><td>${fixed(c.arenaBytes)}</td>`;
  const rows = candidates.map((c) => {
    const isChosen = c.recipe === chosen?.recipe;
    const value = words.value(c.drop.value);
    const drop = html`${value}<span class="range">${range(words.value, c.drop.low, c.drop.high)}</span>`;
    const state = isChosen
      ? html`chosen`
      : c.accepted
        ? html`yes`
        : html`<span class="no">no</span>`;
    return html`<tr${isChosen ? html` class="chosen"` : NOTHING}><th class="name" scope="row">${cutName(c.recipe)}<span class="about-recipe">${c.description}</span></th>${numbers({ ...c, weightBytes: c.bytes.weights }, drop)}<td class="text">${state}<span class="range">${c.remark}</span></td></tr>\n`;
  });
  return scrolling(
    "Candidates",
    html`<table class="wide"><caption>Small figures: 95 % intervals; for latency, the range of the rounds' medians.</caption>
<thead><tr><th class="name" scope="col">Recipe</th><th scope="col">${words.header}</th><th scope="col">${words.dropHeader}</th><th scope="col">Code, bytes</th><th scope="col">Weights, bytes</th><th scope="col">Total, bytes</th><th scope="col">Gzip, bytes</th><th scope="col">Latency, ms</th><th scope="col">Arena, bytes</th><th class="text" scope="col">Within limits</th></tr></thead>
<tbody><tr><th class="name" scope="row">baseline<span class="about-recipe">the model as given, compiled</span></th>${numbers(baseline, html`–`)}<td class="text">–</td></tr>
${rows}</tbody></table>`,
  );
}

const sum = (xs: readonly number[]): number => xs.reduce((a, b) => a + b, 0);

/** Every layer of the chosen candidate (of the baseline when none was chosen). */
export function layerTable(layers: readonly LayerRow[]): Html {
  const times = layers.flatMap((l) => [l.measuredMs, l.predictedMs]).filter(Number.isFinite);
  const decimals = decimalsFor(times);
  const most = Math.max(...times, 0);
  const total = sum(layers.map((l) => l.measuredMs));
  const share = (ms: number): string => fixed((100 * ms) / (total || 1), 1);
  const withSensitivity = layers.some((l) => l.sensitivity !== null);
  const sensitivity = (l: LayerRow): Html =>
    withSensitivity
      ? html`<td>${l.sensitivity === null ? "–" : scientific(l.sensitivity)}</td>`
      : NOTHING;
  const rows = layers.map(
    (l) =>
      html`<tr><th class="name" scope="row">${cutName(l.name)}</th><td class="code">${l.op}</td><td class="code">${l.implementation}</td><td>${fixed(l.macs)}</td><td>${fixed(l.weightBytes)}</td><td>${fixed(l.measuredMs, decimals)}</td><td>${fixed(l.predictedMs, decimals)}</td><td>${cellBar(l.measuredMs, l.predictedMs, most)}</td><td>${share(l.measuredMs)}</td>${sensitivity(l)}</tr>\n`,
  );
  const predicted = sum(layers.map((l) => l.predictedMs));
  return scrolling(
    "Layers",
    html`<table class="wide"><caption>Bar: measured; mark: predicted. Sensitivity: relative squared error of the output when only this layer is int8.</caption>
<thead><tr><th class="name" scope="col">Layer</th><th class="text" scope="col">Operator</th><th class="text" scope="col">Implementation</th><th scope="col">MACs</th><th scope="col">Weights, bytes</th><th scope="col">Measured, ms</th><th scope="col">Predicted, ms</th><th class="text" scope="col">Bar</th><th scope="col">Share, %</th>${withSensitivity ? html`<th scope="col">Sensitivity</th>` : NOTHING}</tr></thead>
<tbody>${rows}</tbody>
<tfoot><tr><th class="name" scope="row">Sum of ${layers.length} layers</th><td></td><td></td><td>${fixed(sum(layers.map((l) => l.macs)))}</td><td>${fixed(sum(layers.map((l) => l.weightBytes)))}</td><td>${fixed(total, decimals)}</td><td>${fixed(predicted, decimals)}</td><td></td><td>${share(total)}</td>${withSensitivity ? html`<td></td>` : NOTHING}</tr></tfoot></table>`,
  );
}
