/** @file Why layers are computed as they are: each layer's primitives by predicted time, and the network's sum. */
import type { ExplainedLayer, Explanation } from "../select/select.ts";
import { duration, fixed, powerOfTen } from "./format.ts";
import { cutName, type Html, html, NOTHING } from "./markup.ts";
import { logScale, type Scale } from "./scale.ts";

const SHOWN = 15;

const WIDTH = 760;
const ROW = 22;
const LEFT = 210;
const RIGHT = WIDTH - 16;
const HEAD = 6;
const LABEL_CHARS = 30;

const label = (name: string): string =>
  name.length <= LABEL_CHARS ? name : `${name.slice(0, 14)}…${name.slice(-LABEL_CHARS + 15)}`;

const msOf = (ns: number): number => ns / 1e6;

function row(layer: ExplainedLayer, i: number, scale: Scale): Html {
  const y = HEAD + i * ROW + ROW / 2;
  const at = (ns: number): number => scale.at(msOf(ns));
  const dot = (c: ExplainedLayer["chosen"], kind: string): Html =>
    html`<circle class="mark ${kind}" cx="${at(c.ns)}" cy="${y}" r="4.5"><title>${cutName(c.name)}: ${duration(msOf(c.ns))}</title></circle>`;
  const others = layer.others.filter((c) => c.ns > 0);
  return html`<g><text text-anchor="end" x="${LEFT - 10}" y="${y + 4}">${label(layer.name)}</text><path class="grid" d="M${LEFT} ${y}H${RIGHT}"/>${others.map((c) => dot(c, "rejected"))}${dot(layer.chosen, "accepted")}</g>`;
}

/** A row for each layer: its primitives by predicted time, the chosen one filled. */
function dots(layers: readonly ExplainedLayer[]): Html {
  const times = layers.flatMap((l) => [l.chosen, ...l.others]).map((c) => msOf(c.ns));
  const scale = logScale(times, LEFT, RIGHT);
  const bottom = HEAD + layers.length * ROW + 4;
  const ticks = scale.ticks.map(
    (t) =>
      html`<path class="grid" d="M${scale.at(t)} ${HEAD}V${bottom}"/><text class="tick" text-anchor="middle" x="${scale.at(t)}" y="${bottom + 16}">${powerOfTen(t)}</text>`,
  );
  return html`<svg viewBox="0 0 ${WIDTH} ${bottom + 40}" role="img" aria-labelledby="selection-title selection-description">
<title id="selection-title">Primitives by predicted time</title><desc id="selection-description">One row for each layer. Filled: the chosen primitive; hollow: the others. The values of choices and runners-up are in the table of primitives.</desc>
${ticks}<path class="axis" d="M${LEFT} ${HEAD}V${bottom}H${RIGHT}"/>${layers.map((l, i) => row(l, i, scale))}
<text class="title" text-anchor="middle" x="${(LEFT + RIGHT) / 2}" y="${bottom + 34}">Predicted time, ms (filled: chosen, hollow: others)</text>
</svg>`;
}

function choiceTable(layers: readonly ExplainedLayer[]): Html {
  const rows = layers.map(({ name, chosen, others, runnerUp }) => {
    const next =
      runnerUp === null
        ? html`<td class="code">–</td><td>–</td>`
        : html`<td class="code">${cutName(runnerUp.candidate.name)}</td><td>${duration(msOf(runnerUp.gapNs))}</td>`;
    return html`<tr><th class="name" scope="row">${cutName(name)}</th><td class="code">${cutName(chosen.name)}</td><td>${duration(msOf(chosen.ns))}</td><td>${fixed(others.length + 1)}</td>${next}</tr>\n`;
  });
  return html`<div class="scroll" role="region" aria-label="Primitives" tabindex="0"><table class="wide"><caption>Gap: what the whole network would lose by taking the runner-up here and the best of everything else.</caption>
<thead><tr><th class="name" scope="col">Layer</th><th class="text" scope="col">Chosen</th><th scope="col">Predicted</th><th scope="col">Ways</th><th class="text" scope="col">Runner-up</th><th scope="col">Gap</th></tr></thead>
<tbody>${rows}</tbody></table></div>`;
}

/** The section on the selection; nothing when no layer has a choice. */
export function selectionSection(explanation: Explanation): Html {
  const { layers, conversions, predictedNs, gapNs } = explanation;
  const withChoice = layers.filter((l) => l.others.length > 0);
  const slowest = [...withChoice].sort((a, b) => b.chosen.ns - a.chosen.ns).slice(0, SHOWN);
  if (slowest.length === 0) return NOTHING;
  const moved = `Changes of layout: ${conversions.length}`;
  const proof =
    gapNs === 0
      ? "No other selection is predicted to be faster."
      : `Another selection may be faster by at most ${duration(msOf(gapNs))}.`;
  return html`<section><h2>Choice of primitives</h2>
<p>${withChoice.length} of ${layers.length} layers can be computed in several ways. Predicted for the whole network: ${duration(msOf(predictedNs))}. ${moved}. ${proof}</p>
<figure class="long"><figcaption>The ${slowest.length} slowest of them</figcaption><div class="scroll" role="region" aria-label="Chart of primitives" tabindex="0">${dots(slowest)}</div></figure>
${choiceTable(slowest)}</section>`;
}
