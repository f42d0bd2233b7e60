/** @file A PruneReport as one HTML file. */
import { asGiven, bytes, duration, fixed, range, short } from "./format.ts";
import { cutName, type Html, html, NOTHING } from "./markup.ts";
import { page } from "./page.ts";
import type { PruneReport, PruneVariant, TimesPair } from "./pruning-types.ts";
import { SENSITIVITY_STYLE, sensitivitySection } from "./sensitivity.ts";

const TITLES = {
  accuracy: "Accuracy, %",
  mse: "Mean squared error",
  "output error": "Relative output error",
} as const;

const scrolling = (label: string, table: Html): Html =>
  html`<div class="scroll" role="region" aria-label="${label}" tabindex="0">${table}</div>`;

/** The report as a complete HTML document. Every string of the report is escaped. */
export function renderPruning(report: PruneReport): string {
  const body = html`<main>
<h1>${cutName(report.model)}</h1>
<p class="about">Report of tersor ${report.tersor}: pruning by ${report.method}, ${report.target}</p>
<p class="verdict">${verdict(report)}</p>
${report.notes.length === 0 ? NOTHING : html`<ul>${report.notes.map((n) => html`<li>${n}</li>\n`)}</ul>`}
<section><h2>Models</h2>${variants(report)}</section>
${rounds(report)}
<section><h2>Layers</h2>${layers(report)}</section>
<section><h2>On disk</h2>${stored(report)}</section>
${sensitivitySection(report, TITLES[report.metric])}
${method(report)}
</main>`;
  return page(`${cutName(report.model)}: pruned by tersor`, body, { style: SENSITIVITY_STYLE });
}

const valueText = (report: PruneReport, value: number): string =>
  report.metric === "accuracy" ? `${fixed(value, 2)} %` : short(value);

const share = (after: number, before: number): string => `${fixed((100 * after) / before, 1)} %`;

/** The result beside the original in a sentence or two. */
function verdict(report: PruneReport): string {
  const before = report.variants[0]!;
  const after = report.variants.find((v) => v.name === report.result) ?? before;
  const cost = `${share(after.macs, before.macs)} of the multiply-accumulates and ${share(after.gzipBytes, before.gzipBytes)} of the bytes (gzip) are left`;
  const value = `${report.metric} ${valueText(report, before.value)} became ${valueText(report, after.value)}`;
  const times = [before.measured, after.measured].map((m) => m?.p50Ms ?? Number.NaN);
  const speed = times.every(Number.isFinite)
    ? ` Measured: ${duration(times[0]!)} became ${duration(times[1]!)} (${fixed(times[0]! / times[1]!, 2)} times as fast).`
    : "";
  return `${cost}; ${value}.${speed}`;
}

function variants(report: PruneReport): Html {
  const first = report.variants[0]!;
  const time = ({ measured }: PruneVariant): Html =>
    measured === null
      ? html`–`
      : html`${duration(measured.p50Ms)}<span class="range">${range(duration, measured.p10Ms, measured.p90Ms)}</span>`;
  const rows = report.variants.map((v) => {
    const chosen = v.name === report.result ? html` class="chosen"` : NOTHING;
    const trained =
      v.epochs === null
        ? "–"
        : `${asGiven(v.epochs)} epoch${v.epochs === 1 ? "" : "s"}, ${fixed(v.seconds ?? Number.NaN)} s`;
    return html`<tr${chosen}><th class="name" scope="row">${v.name}<span class="about-recipe">${v.about}</span></th><td>${valueText(report, v.value)}</td><td>${fixed(v.macs)}<span class="range">${share(v.macs, first.macs)}</span></td><td>${bytes(v.weightBytes)}<span class="range">${share(v.weightBytes, first.weightBytes)}</span></td><td>${bytes(v.onnxBytes)}</td><td>${bytes(v.gzipBytes)}<span class="range">${share(v.gzipBytes, first.gzipBytes)}</span></td><td>${duration(v.predictedMs)}</td><td>${time(v)}</td><td>${trained}</td></tr>\n`;
  });
  const head = [
    TITLES[report.metric],
    "MACs",
    "Weights",
    "model.onnx",
    "gzip",
    "Predicted",
    "Measured",
    "Trained",
  ];
  return scrolling(
    "Models",
    html`<table class="wide"><caption>Small figures: of the original; for measured times, the 10th to the 90th percentile. Times are of single inferences in WebAssembly on one thread.</caption>
<thead><tr><th class="name" scope="col">Model</th>${head.map((h) => html`<th scope="col">${h}</th>`)}</tr></thead><tbody>${rows}</tbody></table>`,
  );
}

function rounds(report: PruneReport): Html {
  if (report.rounds.length < 2) return NOTHING;
  const rows = report.rounds.map(
    (r) =>
      html`<tr><th class="name" scope="row">${fixed(r.round)}</th><td>${fixed(100 * r.removed, 1)}</td><td>${fixed(r.macs)}</td><td>${valueText(report, r.pruned)}</td><td>${r.tuned === null ? "–" : valueText(report, r.tuned)}</td></tr>\n`,
  );
  return html`<section><h2>Rounds</h2>${scrolling("Rounds", html`<table><thead><tr><th class="name" scope="col">Round</th><th scope="col">Gone, %</th><th scope="col">MACs</th><th scope="col">As pruned</th><th scope="col">Trained</th></tr></thead><tbody>${rows}</tbody></table>`)}</section>`;
}

const pair = ([before, after]: readonly [number, number], write: (x: number) => string): Html =>
  before === after ? html`${write(before)}` : html`${write(before)} → ${write(after)}`;

function layers({ layers: all, rest }: PruneReport): Html {
  const timed = (times: TimesPair | null): Html =>
    times === null
      ? html`<td>–</td><td>–</td>`
      : html`<td>${pair(times.predictedMs, duration)}</td><td>${pair(times.measuredMs, duration)}</td>`;
  const rows = all.map(
    (l) =>
      html`<tr><th class="name" scope="row">${cutName(l.name || l.op)}</th><td class="code">${l.op}</td><td>${l.channels === null ? html`` : pair(l.channels, fixed)}</td><td>${pair(l.macs, millions)}</td><td>${pair(l.bytes, bytes)}</td><td>${pair(l.zeros, (x) => fixed(100 * x, 1))}</td>${timed(l.times)}</tr>\n`,
  );
  const head = ["Channels", "MACs, millions", "Weights", "Zeros, %", "Predicted", "Measured"];
  return scrolling(
    "Layers",
    html`<table class="wide"><caption>Times of layers in their place in the network, of the original and of the result: predicted by the cost model, and measured, the median.</caption>
<thead><tr><th class="name" scope="col">Layer</th><th class="text" scope="col">Operator</th>${head.map((h) => html`<th scope="col">${h}</th>`)}</tr></thead><tbody>${rows}</tbody><tfoot><tr><th class="name" scope="row">All else</th><td></td><td></td><td></td><td></td><td></td>${timed(rest)}</tr></tfoot></table>`,
  );
}

const millions = (macs: number): string => fixed(macs / 1e6, 3);

function stored({ stored: all }: PruneReport): Html {
  const less = ([before, after]: readonly [number, number]): Html =>
    html`<td>${bytes(before)}</td><td>${bytes(after)}<span class="range">${share(after, before)}</span></td>`;
  const rows = all.map(
    (s) =>
      html`<tr><th class="name" scope="row">${s.what}</th>${less(s.raw)}${less(s.gzip)}</tr>\n`,
  );
  const head = ["Original", "Result", "Original, gzip", "Result, gzip"];
  return scrolling(
    "On disk",
    html`<table><thead><tr><th class="name" scope="col">File</th>${head.map((h) => html`<th scope="col">${h}</th>`)}</tr></thead><tbody>${rows}</tbody></table>`,
  );
}

function method(report: PruneReport): Html {
  const { data, seed, engine, machine, tersor, command } = report;
  const entries: readonly (readonly [string, string])[] = [
    ["Command", command.join(" ")],
    ["Training data", `${data.train}, ${fixed(data.trainCount)} examples`],
    ["Evaluation", `${data.evaluation}, ${fixed(data.evaluationCount)} examples`],
    [
      "Latency",
      "median of single inferences after warm-up; models measured in turn, round by round. Predicted by the cost model.",
    ],
    ["Training", engine],
    ["Machine", machine],
    ["Seed", String(seed)],
    ["Version", `tersor ${tersor}`],
  ];
  return html`<section><h2>How it was made</h2><dl>${entries.map(([k, v]) => html`<dt>${k}</dt><dd>${v}</dd>\n`)}</dl></section>`;
}
