/** @file What `tersor prune` says of layers and models, as tables. */
import type { PrunedLayer } from "../src/compress/prune/index.ts";
import type { PruneReport, StoredPair, TimesPair } from "../src/report/pruning-types.ts";
import { bytes, count, ms, number, pair, table } from "./format.ts";

const percent = (x: number): string => `${(100 * x).toFixed(0)} %`;

type LayerRow = PrunedLayer & { readonly times?: TimesPair | null };

interface Column {
  readonly title: string;
  readonly text: (layer: LayerRow) => string;
  /** Of everything that is no layer. */
  readonly rest?: string;
}

/** `rest`: everything that is no layer, with times. Where a line is too long, columns that say least go. */
export function layerTable(
  layers: readonly LayerRow[],
  width: number,
  rest: TimesPair | null = null,
): string {
  const time = (title: string, of: (times: TimesPair) => readonly [number, number]): Column => ({
    title,
    text: ({ times }) => (times ? pair(of(times), ms) : ""),
    ...(rest !== null && { rest: pair(of(rest), ms) }),
  });
  const always: readonly Column[] = [
    { title: "layer", text: (l) => l.name || l.op, rest: "all else" },
    {
      title: "channels",
      text: ({ channels }) => (channels === null ? "" : pair(channels, String)),
    },
    { title: "MACs", text: (l) => pair(l.macs, count) },
    { title: "weights", text: (l) => pair(l.bytes, bytes) },
  ];
  const zeros = { title: "zeros", text: (l: LayerRow) => pair(l.zeros, percent) };
  const some = layers.some((l) => l.zeros.some((x) => x > 0)) ? [zeros] : [];
  const predicted = time("predicted", (t) => t.predictedMs);
  const measured = time("measured", (t) => t.measuredMs);
  const times = rest === null ? [[]] : [[predicted, measured], [measured], []];
  const tables = times.map((own) => [...always, ...some, ...own]);
  const fits = tables.find((columns) => longest(layerRows(columns, layers)) <= width);
  return table(layerRows(fits ?? tables.at(-1)!, layers), { width, right: NUMBERS });
}

const NUMBERS = [1, 2, 3, 4, 5, 6];

const longest = (rows: readonly (readonly string[])[]): number =>
  Math.max(
    ...table(rows, { width: Number.POSITIVE_INFINITY, right: NUMBERS })
      .split("\n")
      .map((line) => line.length),
  );

const layerRows = (
  columns: readonly Column[],
  layers: readonly LayerRow[],
): readonly (readonly string[])[] => [
  columns.map((c) => c.title),
  ...layers.map((l) => columns.map((c) => c.text(l))),
  ...(columns.some(({ title }) => title === "measured") ? [columns.map((c) => c.rest ?? "")] : []),
];

export function variantTable({ variants, metric }: PruneReport, width: number): string {
  const head = ["model", metric, "MACs", "weights", "gzip", "predicted", "measured"];
  const value = (x: number): string => (metric === "accuracy" ? `${x.toFixed(2)} %` : number(x));
  const rows = variants.map((v) => [
    v.name,
    value(v.value),
    count(v.macs),
    bytes(v.weightBytes),
    bytes(v.gzipBytes),
    ms(v.predictedMs),
    v.measured === null ? "" : ms(v.measured.p50Ms),
  ]);
  return table([head, ...rows], { width, right: NUMBERS });
}

/** What the original and the result take on disk. */
export function storedTable(stored: readonly StoredPair[], width: number): string {
  const rows = stored.map((s) => [s.what, pair(s.raw, bytes), pair(s.gzip, bytes)]);
  return table([["on disk", "bytes", "gzip"], ...rows], { width, right: [1, 2] });
}
