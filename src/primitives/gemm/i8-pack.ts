/**
 * @file What the integer matrix kernel reads beside its input: packed weights, start values of the
 * accumulators, requantisation tables.
 *
 * Weights: [group][panel][k / 4][4 * nv][4], i8, k running along each contiguous run of input padded to a
 * multiple of four with zero weights (what the input holds there does not matter). The four of a quad lie in the
 * order 0 2 1 3: even bytes are its first pair, odd bytes its second.
 */
import type { RequantRule, RequantTable } from "../../ops/quant/requantize-rule.ts";
import { type Tensor, tensorOf } from "../../tensor/tensor.ts";
import { ceilDiv } from "../../util/math.ts";
import { type ConvGeometry, type Loops, panelWidth } from "./geometry.ts";

export type Byte = "i8" | "u8";

/** What the integer kernel computes. Weights are i8 with zero point 0. */
export interface I8Gemm {
  readonly geometry: ConvGeometry;
  readonly xDtype: Byte;
  readonly yDtype: Byte;
  readonly xZero: number;
  /** [O, ...K] i8. */
  readonly weights: Tensor;
  /** [O] i32. */
  readonly bias: Tensor | undefined;
  readonly rule: RequantRule;
}

/** Position of element k of a quad, and the element at a position: the order is its own inverse. */
export const QUAD_ORDER: readonly number[] = [0, 2, 1, 3];

/** Depth of a panel in groups of four. */
export const quads = (loops: Loops): number => loops.runs * ceilDiv(loops.runLength, 4);

/** First channel of a panel within its group: the last panel overlaps the one before, where there is one. */
export const panelStart = (g: ConvGeometry, loops: Loops, panel: number): number =>
  Math.min(panel * panelWidth(loops.tile), lastPanel(g, loops));

/** First channel of the last panel. */
export const lastPanel = (g: ConvGeometry, loops: Loops): number =>
  Math.max(0, g.n / g.groups - panelWidth(loops.tile));

/** The output channel at each place of the panels, group by group; -1: there is none. */
export function panelChannels(g: ConvGeometry, loops: Loops): number[] {
  const width = panelWidth(loops.tile);
  const perGroup = g.n / g.groups;
  return Array.from({ length: g.groups * loops.panels * width }, (_, i) => {
    const panel = Math.floor(i / width);
    const channel = panelStart(g, loops, panel % loops.panels) + (i % width);
    return channel < perGroup ? Math.floor(panel / loops.panels) * perGroup + channel : -1;
  });
}

export function packWeights(w: Tensor, g: ConvGeometry, loops: Loops): Tensor {
  const width = panelWidth(loops.tile);
  const perRun = ceilDiv(loops.runLength, 4);
  const depth = loops.runs * loops.runLength;
  const channels = panelChannels(g, loops);
  const packed = new Int8Array(channels.length * quads(loops) * 4);
  channels.forEach((o, i) => {
    if (o < 0) return;
    const panel = Math.floor(i / width);
    for (let run = 0; run < loops.runs; run++) {
      for (let e = 0; e < loops.runLength; e++) {
        const quad = panel * quads(loops) + run * perRun + (e >> 2);
        const at = (quad * width + (i % width)) * 4 + QUAD_ORDER[e & 3]!;
        packed[at] = w.data[o * depth + run * loops.runLength + e] as number;
      }
    }
  });
  return { type: { dtype: "i8", shape: [packed.length] }, data: packed };
}

/** Sum of the weights of each output channel. */
export function weightSums(w: Tensor, n: number): Int32Array {
  const depth = w.data.length / n;
  const sums = new Int32Array(n);
  for (let o = 0; o < n; o++) {
    for (let k = 0; k < depth; k++) sums[o]! += w.data[o * depth + k] as number;
  }
  return sums;
}

/**
 * The accumulators' start: the bias less what the zero point contributes, for input read as it is
 * stored in the workspace. First for dot16 and signed dot8 with i8 input, then for the unsigned reading.
 */
export function startValues(spec: I8Gemm, loops: Loops): Tensor {
  const { geometry: g, bias, xZero, xDtype } = spec;
  const sums = weightSums(spec.weights, g.n);
  const channels = panelChannels(g, loops);
  const value = (o: number, zero: number): number =>
    ((bias === undefined ? 0 : (bias.data[o] as number)) - Math.imul(zero, sums[o]!)) | 0;
  const start = (zero: number): number[] => channels.map((o) => (o < 0 ? 0 : value(o, zero)));
  const signed = xDtype === "u8" ? xZero - 128 : xZero;
  const values = [...start(xZero), ...start(signed), ...start(signed + 128)];
  return tensorOf("i32", [values.length], values);
}

/** A requantisation parameter: a constant, or a table with one entry per place of the panels. */
export interface Parameter {
  readonly table: RequantTable;
  readonly tensor: Tensor | null;
}

/**
 * The rule's parameters for channels in the given order (-1: none), for vectors of that many lanes; null: no vector
 * form.
 */
export function requantParameters(
  rule: RequantRule,
  channels: readonly number[],
  lanes = 4,
): Parameter[] | null {
  const tables = lanes > 4 ? rule.wideTables : rule.vectorTables;
  if (tables === null) return null;
  return tables.map((table) => {
    if (table.values.length === 1) return { table, tensor: null };
    const values = channels.map((o) => table.values[Math.max(0, o)]!);
    return { table, tensor: tensorOf(table.dtype, [values.length], values) };
  });
}
