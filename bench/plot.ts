/**
 * @file A benchmark's latencies as one SVG: a panel for each element type, a row for each model, a mark for
 * each engine at its speed relative to a peer. Colour says which engine, shape how many threads.
 */
import { type Html, html, NOTHING } from "../src/report/markup.ts";
import { DTYPES, type ModelDType } from "./models/index.ts";
import { type BenchReport, timeOf } from "./results.ts";
import { RUNS, type Run } from "./runs.ts";

const WIDTH = 860;
const LEFT = 118;
const RIGHT = WIDTH - 18;
const ROW = 24;
const HEAD = 34;
const FOOT = 46;
const LEGEND_COLUMNS = 3;
const LEGEND_ROW = 20;
const TITLE = 52;

/** Distinct for colour-blind readers (Okabe and Ito); peers are grey. */
const COLOURS: Readonly<Record<string, string>> = {
  wasm: "#0072b2",
  wasm256: "#009e73",
  native: "#d55e00",
  "ort-web": "#777",
  "ort-node": "#222",
  tfjs: "#aa88aa",
};

const family = (run: Run): string => run.id.replace(/-2t$/, "");
const colour = (run: Run): string => COLOURS[family(run)] ?? "#777";

/** Filled for tersor, hollow for peers; a circle for one thread, a diamond for more. */
function mark(run: Run, x: number, y: number, tip: string): Html {
  const fill = run.own ? colour(run) : "#fff";
  const shape =
    run.threads === 1
      ? html`<circle cx="${x}" cy="${y}" r="5"/>`
      : html`<path d="M${x} ${y - 6.5}l6.5 6.5l-6.5 6.5l-6.5 -6.5z"/>`;
  return html`<g fill="${fill}" stroke="${colour(run)}" stroke-width="1.8"><title>${tip}</title>${shape}</g>`;
}

interface Axis {
  readonly at: (ratio: number) => number;
  readonly ticks: readonly number[];
}

/** Logarithmic, ticks at powers of two. */
function axisOf(all: readonly number[]): Axis {
  const logs = all.map(Math.log2);
  const low = Math.floor(Math.min(...logs, -0.5) - 0.05);
  const high = Math.ceil(Math.max(...logs, 0.5) + 0.05);
  const ticks = Array.from({ length: high - low + 1 }, (_, i) => 2 ** (low + i));
  const at = (ratio: number): number =>
    LEFT + ((Math.log2(ratio) - low) / (high - low)) * (RIGHT - LEFT);
  return { at, ticks };
}

/** Speed of a run relative to the base; null where either has no time. */
function relative(report: BenchReport, base: Run, run: Run, model: string, dtype: ModelDType) {
  const mine = timeOf(report, run.id, model, dtype);
  const its = timeOf(report, base.id, model, dtype);
  return mine === null || its === null ? null : its / mine;
}

const tickText = (t: number): string => (t >= 1 ? `${t}x` : `1/${1 / t}x`);

function panel(
  report: BenchReport,
  dtype: ModelDType,
  models: readonly string[],
  runs: readonly Run[],
  base: Run,
  axis: Axis,
  top: number,
): Html {
  const bottom = top + HEAD + models.length * ROW;
  const grid = axis.ticks.map(
    (t) =>
      html`<path stroke="${t === 1 ? "#777" : "#e2e4e6"}" d="M${axis.at(t)} ${top + HEAD - 6}V${bottom}"/><text fill="#5b6168" text-anchor="middle" x="${axis.at(t)}" y="${bottom + 16}">${tickText(t)}</text>`,
  );
  const rows = models.map((model, i) => {
    const y = top + HEAD + (i + 0.5) * ROW;
    const marks = runs.map((run) => {
      const ratio = relative(report, base, run, model, dtype);
      if (ratio === null) return NOTHING;
      const ms = timeOf(report, run.id, model, dtype)!;
      return mark(run, axis.at(ratio), y, `${model}, ${run.label}: ${ms.toPrecision(3)} ms`);
    });
    return html`<text text-anchor="end" x="${LEFT - 10}" y="${y + 4}">${model}</text><path stroke="#e2e4e6" d="M${LEFT} ${y}H${RIGHT}"/>${marks}`;
  });
  return html`<text font-weight="600" x="${LEFT}" y="${top + 16}">${dtype}</text>${grid}${rows}`;
}

function legend(runs: readonly Run[]): Html[] {
  return runs.map((run, i) => {
    const x = LEFT + (i % LEGEND_COLUMNS) * ((RIGHT - LEFT) / LEGEND_COLUMNS);
    const y = TITLE + Math.floor(i / LEGEND_COLUMNS) * LEGEND_ROW;
    return html`${mark(run, x + 6, y, run.label)}<text x="${x + 18}" y="${y + 4}">${run.label}</text>`;
  });
}

/** The picture; relative to onnxruntime-web on one thread, or to the first run where that is absent. */
export function plotOf(report: BenchReport): string {
  const runs = RUNS.filter(({ id }) => report.measured.some((m) => m.run === id));
  const base = runs.find(({ id }) => id === "ort-web") ?? runs[0];
  if (base === undefined) return "";
  const panels = DTYPES.map((dtype) => ({
    dtype,
    models: [...new Set(report.measured.filter((m) => m.dtype === dtype).map((m) => m.model))],
  })).filter(({ models }) => models.length > 0);
  const all = panels.flatMap(({ dtype, models }) =>
    models.flatMap((m) => runs.flatMap((run) => relative(report, base, run, m, dtype) ?? [])),
  );
  const axis = axisOf(all);
  let top = TITLE + Math.ceil(runs.length / LEGEND_COLUMNS) * LEGEND_ROW;
  const drawn = panels.map(({ dtype, models }) => {
    const one = panel(report, dtype, models, runs, base, axis, top);
    top += HEAD + models.length * ROW + FOOT;
    return one;
  });
  const { cpu, node } = report.machine;
  return html`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${top}" width="${WIDTH}" height="${top}" font-family="system-ui, 'Segoe UI', 'Liberation Sans', Arial, sans-serif" font-size="12.5" fill="none">
<title>Speed of tersor and its peers</title><desc>Each mark: how many times faster than ${base.label} an engine runs a model. All values are in the table.</desc>
<rect width="${WIDTH}" height="${top}" fill="#fff"/>
<g fill="#1b1d1f"><text font-size="15" font-weight="600" x="16" y="24">Speed relative to ${base.label} on one thread (further right is faster)</text>
<text text-anchor="end" fill="#5b6168" font-size="11" x="${RIGHT}" y="${top - 8}">${cpu}, Node ${node}, ${report.date}; medians</text>
${legend(runs)}${drawn}</g>
</svg>
`.markup;
}
