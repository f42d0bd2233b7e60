/** @file The metric against a cost as SVG: one point a candidate with its interval, the baseline, the limits. */
import { type Html, html, NOTHING } from "./markup.ts";
import { linearScale, logScale, type Scale } from "./scale.ts";

export type PointKind = "baseline" | "chosen" | "accepted" | "rejected";

export interface Point {
  readonly label: string;
  readonly kind: PointKind;
  readonly x: number;
  readonly y: number;
  readonly low: number;
  readonly high: number;
}

export interface ScatterOptions {
  /** Unique in the page: prefix of the ids. */
  readonly id: string;
  readonly title: string;
  /** What the picture shows, for those who do not see it. */
  readonly description: string;
  readonly xTitle: string;
  readonly yTitle: string;
  readonly xTick: (x: number) => string;
  readonly yTick: (y: number) => string;
  /** Values in tips, more exact than at the axis. */
  readonly yValue: (y: number) => string;
  readonly xLimit?: number;
  readonly yLimit?: number;
  /** "log" for errors, which span powers of ten. */
  readonly yScale: "linear" | "log";
  /** Values under this are drawn at the lower edge with an arrow. Linear scale only. */
  readonly yFloor?: number;
  /** No value can be above this: 100 for percentages. */
  readonly yCeiling?: number;
}

const WIDTH = 520;
const HEIGHT = 320;
const LEFT = 58;
const RIGHT = WIDTH - 26;
const TOP = 16;
const BOTTOM = HEIGHT - 46;
/** Estimated widths of a character, plain and bold. */
const CHAR = 7.4;
const BOLD_CHAR = 8.2;
const LINE = 14;

interface Box {
  readonly x: number;
  readonly y: number;
  readonly w: number;
  readonly h: number;
}

const overlaps = (a: Box, b: Box): boolean =>
  a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;

const inside = (b: Box): boolean =>
  b.x >= LEFT + 2 && b.x + b.w <= RIGHT && b.y >= TOP - 12 && b.y + b.h <= BOTTOM - 1;

interface Placed {
  readonly point: Point;
  readonly x: number;
  readonly y: number;
  readonly yLow: number;
  readonly yHigh: number;
  readonly off: boolean;
}

/** A label's place and which end of it is beside the mark. */
interface Spot extends Box {
  readonly anchor: "start" | "end";
}

/** Places around a mark for a label of this width, the preferred ones first. */
const spotsAround = ({ x, y, point }: Placed, w: number): Spot[] =>
  [0, -16, 16, -30, 30, -44, 44, -58, 58, -72, 72].flatMap((dy) => {
    const gap = point.kind === "chosen" ? 12 : 9;
    const top = y - LINE / 2 + dy;
    return [
      { anchor: "start", x: x + gap, y: top, w, h: LINE },
      { anchor: "end", x: x - gap - w, y: top, w, h: LINE },
    ];
  });

/** Hiding a mark or label is out of the question; crossing an interval, or another's mark with the line, is unpleasant. */
const FORBIDDEN = 1000;
const CROSSING = 3;

/** The line from a mark to its label; null: the label is beside it. */
function leaderOf({ x, y }: Placed, spot: Spot) {
  if (Math.abs(spot.y + LINE / 2 - y) < 1) return null;
  const end = spot.anchor === "start" ? spot.x + 12 : spot.x + spot.w - 12;
  return { x, y, dx: end - x, dy: (spot.y + LINE / 2 < y ? spot.y + LINE - 2 : spot.y) - y };
}

/** Whether the line meets the box, as seen at a few of its points. */
function meets(line: ReturnType<typeof leaderOf>, box: Box): boolean {
  if (line === null) return false;
  const { x, y, dx, dy } = line;
  return [0.2, 0.4, 0.6, 0.8, 1].some((t) =>
    overlaps({ x: x + t * dx, y: y + t * dy, w: 1, h: 1 }, box),
  );
}

/** Where the labels go, the chosen one's first. A label that finds no place is left out. */
function placeLabels(placed: readonly Placed[]): Map<Placed, Spot> {
  const taken: Box[] = placed.map(({ x, y }) => ({ x: x - 7, y: y - 7, w: 14, h: 14 }));
  const intervals = placed
    .filter((p) => !p.off)
    .map(({ x, yLow, yHigh }) => ({ x: x - 2, y: yHigh, w: 4, h: yLow - yHigh }));
  const price = (p: Placed, spot: Spot, order: number): number => {
    const line = leaderOf(p, spot);
    const crossed = taken.filter((t, i) => placed[i] !== p && meets(line, t)).length;
    return (
      order +
      (!inside(spot) || taken.some((t) => overlaps(spot, t)) ? FORBIDDEN : 0) +
      CROSSING * (crossed + intervals.filter((t) => overlaps(spot, t)).length)
    );
  };
  const boxes = new Map<Placed, Spot>();
  const rank: readonly PointKind[] = ["chosen", "baseline", "accepted", "rejected"];
  const order = [...placed].sort((a, b) => rank.indexOf(a.point.kind) - rank.indexOf(b.point.kind));
  for (const p of order) {
    const priced = spotsAround(p, labelWidth(p)).map((spot, i) => ({
      spot,
      price: price(p, spot, i),
    }));
    const best = priced.reduce((a, b) => (b.price < a.price ? b : a));
    if (best.price >= FORBIDDEN) continue;
    boxes.set(p, best.spot);
    taken.push(best.spot);
  }
  return boxes;
}

const labelWidth = (p: Placed): number =>
  (p.point.kind === "chosen" ? BOLD_CHAR : CHAR) * labelOf(p).length;

const MAX_LABEL = 26;

function labelOf({ point }: Placed): string {
  return point.label.length <= MAX_LABEL ? point.label : `${point.label.slice(0, MAX_LABEL - 1)}…`;
}

function mark({ point, x, y, off }: Placed): Html {
  if (off) return html`<path class="mark ${point.kind}" d="M${x - 5} ${y - 8}h10l-5 8z"/>`;
  switch (point.kind) {
    case "baseline":
      return html`<rect class="mark baseline" x="${x - 5}" y="${y - 5}" width="10" height="10"/>`;
    case "chosen":
      return html`<circle class="ring" cx="${x}" cy="${y}" r="8.5"/><circle class="mark chosen" cx="${x}" cy="${y}" r="5"/>`;
    default:
      return html`<circle class="mark ${point.kind}" cx="${x}" cy="${y}" r="4.5"/>`;
  }
}

function drawLeader(p: Placed, spot: Spot | undefined): Html {
  const line = spot === undefined ? null : leaderOf(p, spot);
  if (line === null) return NOTHING;
  return html`<path class="leader" d="M${line.x} ${line.y}l${line.dx} ${line.dy}"/>`;
}

function drawPoint(p: Placed, spot: Spot | undefined, options: ScatterOptions): Html {
  const { point, x } = p;
  const whiskers = p.off
    ? NOTHING
    : html`<path class="interval ${point.kind}" d="M${x} ${p.yHigh}V${p.yLow}M${x - 3} ${p.yHigh}h6M${x - 3} ${p.yLow}h6"/>`;
  const label =
    spot === undefined
      ? NOTHING
      : html`<text class="${point.kind}" text-anchor="${spot.anchor}" x="${spot.anchor === "start" ? spot.x : spot.x + spot.w}" y="${spot.y + 11}">${labelOf(p)}</text>`;
  const tip = `${point.label}: ${options.xTick(point.x)}; ${options.yValue(point.y)} (${options.yValue(point.low)} to ${options.yValue(point.high)})`;
  return html`<g><title>${tip}</title>${whiskers}${mark(p)}${label}</g>`;
}

function makeYScale(points: readonly Point[], options: ScatterOptions): Scale {
  const {
    yLimit,
    yFloor = Number.NEGATIVE_INFINITY,
    yCeiling = Number.POSITIVE_INFINITY,
  } = options;
  const limit = yLimit === undefined ? [] : [yLimit];
  if (options.yScale === "log") {
    return logScale([...points.flatMap((p) => [p.y, p.low, p.high]), ...limit], BOTTOM, TOP);
  }
  const shown = points.filter((p) => p.y >= yFloor);
  const low = Math.max(yFloor, Math.min(...shown.map((p) => p.low), ...limit));
  const high = Math.max(...shown.map((p) => p.high), ...limit);
  const space = (high - low) * 0.06 || 0.5;
  return linearScale(low - space, Math.min(high + space, yCeiling), BOTTOM, TOP);
}

function axes(x: Scale, y: Scale, options: ScatterOptions): Html {
  const xs = x.ticks.map(
    (t) =>
      html`<path class="grid" d="M${x.at(t)} ${TOP}V${BOTTOM}"/><text class="tick" text-anchor="middle" x="${x.at(t)}" y="${BOTTOM + 16}">${options.xTick(t)}</text>`,
  );
  const ys = y.ticks.map(
    (t) =>
      html`<path class="grid" d="M${LEFT} ${y.at(t)}H${RIGHT}"/><text class="tick" text-anchor="end" x="${LEFT - 6}" y="${y.at(t) + 4}">${options.yTick(t)}</text>`,
  );
  return html`${xs}${ys}<path class="axis" d="M${LEFT} ${TOP}V${BOTTOM}H${RIGHT}"/>
<text class="title" text-anchor="middle" x="${(LEFT + RIGHT) / 2}" y="${HEIGHT - 8}">${options.xTitle}</text>
<text class="title" text-anchor="middle" transform="translate(13 ${(TOP + BOTTOM) / 2}) rotate(-90)">${options.yTitle}</text>`;
}

function limits(x: Scale, y: Scale, { xLimit, yLimit }: ScatterOptions): Html {
  const vertical =
    xLimit === undefined || xLimit > x.high
      ? NOTHING
      : html`<path class="limit" d="M${x.at(xLimit)} ${TOP}V${BOTTOM}"/><text class="limit" text-anchor="middle" x="${x.at(xLimit)}" y="${TOP - 4}">limit</text>`;
  const horizontal =
    yLimit === undefined
      ? NOTHING
      : html`<path class="limit" d="M${LEFT} ${y.at(yLimit)}H${RIGHT}"/><text class="limit" x="${LEFT + 5}" y="${y.at(yLimit) - 4}">limit</text>`;
  return html`${vertical}${horizontal}`;
}

/** The chart as one inline SVG element. */
export function scatter(points: readonly Point[], options: ScatterOptions): Html {
  const y = makeYScale(points, options);
  const widest = Math.max(...points.map((p) => p.x), 0);
  const { xLimit = 0, id } = options;
  const x = linearScale(0, Math.max(widest, xLimit <= 2 * widest ? xLimit : 0) * 1.06, LEFT, RIGHT);
  const placed = points.map((point): Placed => {
    const off = options.yScale === "linear" && point.y < y.low;
    const at = {
      x: x.at(point.x),
      y: y.at(point.y),
      yLow: y.at(point.low),
      yHigh: y.at(point.high),
    };
    return { point, off, ...at };
  });
  const boxes = placeLabels(placed);
  return html`<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-labelledby="${id}-title ${id}-description">
<title id="${id}-title">${options.title}</title><desc id="${id}-description">${options.description}</desc>
${axes(x, y, options)}${limits(x, y, options)}
${placed.map((p) => drawLeader(p, boxes.get(p)))}
${placed.map((p) => drawPoint(p, boxes.get(p), options))}
</svg>`;
}
