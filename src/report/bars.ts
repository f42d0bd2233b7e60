/** @file Measured beside predicted times as bars: small ones for table cells, and a chart of the slowest layers. */
import type { LayerRow } from "../optimize/types.ts";
import { fixed } from "./format.ts";
import { cutName, type Html, html } from "./markup.ts";
import { linearScale } from "./scale.ts";

const CELL = 84;

/** A bar for the measured time with a mark at the predicted one, `most` being the full width. */
export function cellBar(measured: number, predicted: number, most: number): Html {
  const width = (ms: number): number => (CELL * Math.min(ms, most)) / (most || 1);
  const tick = Number.isFinite(predicted)
    ? html`<path class="predicted" d="M${Math.max(1, width(predicted))} 1v12"/>`
    : html``;
  return html`<svg class="bar" viewBox="0 0 ${CELL + 2} 14" width="${CELL + 2}" height="14" aria-hidden="true"><rect class="measured" x="0" y="3" width="${width(measured)}" height="8"/>${tick}</svg>`;
}

const WIDTH = 760;
const ROW = 22;
const LEFT = 250;
const RIGHT = WIDTH - 150;
const MEASURED = WIDTH - 74;
const PREDICTED = WIDTH - 4;
const HEAD = 20;
const LABEL_CHARS = 36;

const label = (name: string): string =>
  name.length <= LABEL_CHARS ? name : `${name.slice(0, 20)}…${name.slice(-LABEL_CHARS + 21)}`;

function row(layer: LayerRow, i: number, at: (ms: number) => number, decimals: number): Html {
  const y = HEAD + i * ROW;
  const { measuredMs, predictedMs } = layer;
  const tip = `${cutName(layer.name)}: measured ${fixed(measuredMs, decimals)} ms, predicted ${fixed(predictedMs, decimals)} ms`;
  return html`<g><title>${tip}</title><text text-anchor="end" x="${LEFT - 8}" y="${y + 14}">${label(layer.name)}</text>
<rect class="measured" x="${LEFT}" y="${y + 3}" width="${at(measuredMs) - LEFT}" height="14"/>
<path class="predicted" d="M${at(predictedMs)} ${y}v20"/><text text-anchor="end" x="${MEASURED}" y="${y + 14}">${fixed(measuredMs, decimals)}</text><text class="tick" text-anchor="end" x="${PREDICTED}" y="${y + 14}">${fixed(predictedMs, decimals)}</text></g>`;
}

/** The layers given, in order, as horizontal bars. */
export function layerBars(layers: readonly LayerRow[], decimals: number): Html {
  const bottom = HEAD + layers.length * ROW + 4;
  const most = Math.max(
    ...layers.flatMap((l) => [l.measuredMs, l.predictedMs]).filter(Number.isFinite),
    0,
  );
  const scale = linearScale(0, most, LEFT, RIGHT);
  const at = (ms: number): number => (Number.isFinite(ms) ? scale.at(ms) : LEFT);
  const ticks = scale.ticks.map(
    (t) =>
      html`<path class="grid" d="M${at(t)} ${HEAD}V${bottom}"/><text class="tick" text-anchor="middle" x="${at(t)}" y="${bottom + 16}">${fixed(t, decimals)}</text>`,
  );
  return html`<svg viewBox="0 0 ${WIDTH} ${bottom + 40}" role="img" aria-labelledby="slowest-title slowest-description">
<title id="slowest-title">The slowest layers</title><desc id="slowest-description">Bars: measured milliseconds of the ${layers.length} slowest layers. Marks: predicted milliseconds. All values are in the table of layers.</desc>
<text class="title" text-anchor="end" x="${MEASURED}" y="13">measured</text><text class="title" text-anchor="end" x="${PREDICTED}" y="13">predicted</text>
${ticks}<path class="axis" d="M${LEFT} ${HEAD}V${bottom}H${RIGHT}"/>${layers.map((l, i) => row(l, i, at, decimals))}
<text class="title" text-anchor="middle" x="${(LEFT + RIGHT) / 2}" y="${bottom + 34}">Time, ms (bar: measured, mark: predicted)</text>
</svg>`;
}
