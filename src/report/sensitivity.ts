/** @file How groups of channels bear being cut, as a chart and a table. */
import type { SensitivityCurve } from "../compress/prune/index.ts";
import { fixed, short } from "./format.ts";
import { cutName, type Html, html, NOTHING } from "./markup.ts";
import type { PruneReport } from "./pruning-types.ts";
import { linearScale, logScale, type Scale } from "./scale.ts";

const WIDTH = 760;
/** At least; more where there are many groups. */
const HEIGHT = 380;
const LEFT = 62;
const RIGHT = WIDTH - 230;
const TOP = 14;
/** Below the axis. */
const FOOT = 44;
/** Between the names of lines. */
const LINE = 14;
const LABEL_CHARS = 28;

type Found = NonNullable<PruneReport["sensitivity"]>;

/** Style of the chart, beside the common one. */
export const SENSITIVITY_STYLE = `
.curve { fill: none; stroke: var(--mark); stroke-width: 1.3; stroke-linejoin: round; opacity: .75; }
.dot { fill: var(--mark); } .taken { fill: var(--paper); stroke: var(--other); stroke-width: 2; }
.lead { stroke: var(--rule); fill: none; }
`;

/** Positions of labels, none nearer than a line, in order of where they belong. */
function spread(wanted: readonly number[], bottom: number): number[] {
  const order = wanted.map((_, i) => i).sort((a, b) => wanted[a]! - wanted[b]!);
  const placed = [...wanted];
  let lowest = TOP;
  for (const i of order) {
    placed[i] = Math.max(wanted[i]!, lowest);
    lowest = placed[i]! + LINE;
  }
  const over = Math.max(0, lowest - LINE - bottom);
  let highest = bottom;
  for (const i of over === 0 ? [] : order.reverse()) {
    placed[i] = Math.min(placed[i]!, highest);
    highest = placed[i]! - LINE;
  }
  return placed;
}

/** The value at a share, along the lines between points. */
function valueAt({ points, count }: SensitivityCurve, base: number, ratio: number): number {
  let [x, y] = [0, base];
  for (const p of points) {
    const next = p.gone / count;
    if (ratio <= next) return next === x ? p.value : y + ((p.value - y) * (ratio - x)) / (next - x);
    [x, y] = [next, p.value];
  }
  return y;
}

function curveOf(curve: SensitivityCurve, found: Found, x: Scale, y: Scale, text: number): Html {
  const { base, chosen } = found;
  const all = [{ gone: 0, value: base }, ...curve.points];
  const at = (p: { gone: number; value: number }): string =>
    `${x.at(p.gone / curve.count).toFixed(1)} ${y.at(p.value).toFixed(1)}`;
  const last = all.at(-1)!;
  const share = chosen[curve.group];
  const taken =
    share === undefined || share === 0
      ? NOTHING
      : html`<circle class="taken" cx="${x.at(share)}" cy="${y.at(valueAt(curve, base, share))}" r="4"><title>${cutName(curve.group)}: lost ${fixed(100 * share, 1)} %</title></circle>`;
  const name =
    curve.group.length <= LABEL_CHARS ? curve.group : `${curve.group.slice(0, LABEL_CHARS - 1)}…`;
  return html`<g><path class="curve" d="M${all.map(at).join("L")}"/>${curve.points.map((p) => html`<circle class="dot" cx="${x.at(p.gone / curve.count)}" cy="${y.at(p.value)}" r="2.5"><title>${cutName(curve.group)}: ${p.gone} of ${curve.count} gone, ${short(p.value)}</title></circle>`)}${taken}
<path class="lead" d="M${x.at(last.gone / curve.count) + 3} ${y.at(last.value)}L${RIGHT + 16} ${text}"/><text class="tick" x="${RIGHT + 20}" y="${text + 4}">${name}</text></g>`;
}

function chart(found: Found, title: string): Html {
  const { curves, base, better } = found;
  const bottom = Math.max(HEIGHT - FOOT, TOP + LINE * curves.length);
  const values = [base, ...curves.flatMap((c) => c.points.map((p) => p.value))];
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const positive = values.filter((v) => v > 0);
  const wide = better === "low" && high / Math.min(...positive) > 100;
  const space = (high - low) * 0.05 || 1;
  const top = better === "high" ? Math.max(high, Math.min(100, high + space)) : high + space;
  const y = wide ? logScale(positive, bottom, TOP) : linearScale(low - space, top, bottom, TOP);
  const x = linearScale(0, 1, LEFT, RIGHT);
  const xs = x.ticks.map(
    (t) =>
      html`<path class="grid" d="M${x.at(t)} ${TOP}V${bottom}"/><text class="tick" text-anchor="middle" x="${x.at(t)}" y="${bottom + 16}">${fixed(100 * t)}</text>`,
  );
  const ys = y.ticks.map(
    (t) =>
      html`<path class="grid" d="M${LEFT} ${y.at(t)}H${RIGHT}"/><text class="tick" text-anchor="end" x="${LEFT - 6}" y="${y.at(t) + 4}">${short(t)}</text>`,
  );
  const labels = spread(
    curves.map((c) => y.at(c.points.at(-1)?.value ?? base)),
    bottom,
  );
  return html`<figure class="long"><figcaption>With one group cut: ${title.toLowerCase()}</figcaption><div class="scroll" role="region" aria-label="Chart of sensitivity" tabindex="0"><svg viewBox="0 0 ${WIDTH} ${bottom + FOOT}" role="img" aria-labelledby="sensitivity-title sensitivity-description">
<title id="sensitivity-title">${title} against the share of a group's channels that is gone</title><desc id="sensitivity-description">${fixed(curves.length)} groups; all values are in the table.</desc>
${xs}${ys}<path class="axis" d="M${LEFT} ${TOP}V${bottom}H${RIGHT}"/>
<text class="title" text-anchor="middle" x="${(LEFT + RIGHT) / 2}" y="${bottom + FOOT - 8}">Channels of the group gone, %</text>
${curves.map((c, i) => curveOf(c, found, x, y, labels[i]!))}
</svg></div></figure>`;
}

/** The section; nothing without an analysis. */
export function sensitivitySection(report: PruneReport, title: string): Html {
  const found = report.sensitivity;
  if (found === null) return NOTHING;
  const ratios = found.curves[0]?.points.map((p) => p.ratio) ?? [];
  const write = (v: number): string => (report.metric === "accuracy" ? fixed(v, 2) : short(v));
  const rows = found.curves.map(
    (c) =>
      html`<tr><th class="name" scope="row">${cutName(c.group)}</th><td>${fixed(c.count)}</td>${c.points.map((p) => html`<td>${write(p.value)}</td>`)}<td>${fixed(100 * (found.chosen[c.group] ?? 0), 1)}</td></tr>\n`,
  );
  const about = `Each group alone loses a share of its channels, the least important first; ${title.toLowerCase()} on ${found.rows} training examples without any training. The whole model: ${write(found.base)}. Rings: what the pruned model lost.`;
  return html`<section><h2>Sensitivity</h2><p class="note">${about}</p>${chart(found, title)}
<div class="scroll" role="region" aria-label="Sensitivity" tabindex="0"><table class="wide"><thead><tr><th class="name" scope="col">Group</th><th scope="col">Units</th>${ratios.map((r) => html`<th scope="col">${fixed(100 * r)} %</th>`)}<th scope="col">Lost, %</th></tr></thead><tbody>${rows}</tbody></table></div></section>`;
}
