/** @file What `tersor prune` says of layers and models, as tables. */
import type { PrunedLayer } from "../src/compress/prune/index.ts";
import type { PruneReport, StoredPair, TimesPair } from "../src/report/pruning-types.ts";
import { bytes, count, ms, number, pair, table } from "./format.ts";

const percent = (x: number): string => `${(100 * x).toFixed(0)} %`;

/** `rest`: everything that is no layer, with times. */
export function layerTable(
  layers: readonly (PrunedLayer & { readonly times?: TimesPair | null })[],
  width: number,
  rest: TimesPair | null = null,
): string {
  const timed = (times: TimesPair | null | undefined): readonly string[] => {
    if (rest === null) return [];
    return times ? [pair(times.predictedMs, ms), pair(times.measuredMs, ms)] : ["", ""];
  };
  const names = rest === null ? [] : ["predicted", "measured"];
  const head = ["layer", "channels", "MACs", "weights", "zeros", ...names];
  const rows = layers.map((l) => [
    l.name || l.op,
    l.channels === null ? "" : pair(l.channels, String),
    pair(l.macs, count),
    pair(l.bytes, bytes),
    pair(l.zeros, percent),
    ...timed(l.times),
  ]);
  if (rest !== null) rows.push(["all else", "", "", "", "", ...timed(rest)]);
  return table([head, ...rows], { width, right: [1, 2, 3, 4, 5, 6] });
}

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
  return table([head, ...rows], { width, right: [1, 2, 3, 4, 5, 6] });
}

/** What the original and the result take on disk. */
export function storedTable(stored: readonly StoredPair[], width: number): string {
  const rows = stored.map((s) => [s.what, pair(s.raw, bytes), pair(s.gzip, bytes)]);
  return table([["on disk", "bytes", "gzip"], ...rows], { width, right: [1, 2] });
}
