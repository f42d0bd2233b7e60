/**
 * @file What the integer matrix kernel reads beside its input: packed weights, start values of the
 * accumulators, requantisation tables.
 *
 * Weights: [group][panel][k / 4][4 * nv][4], i8, k running along each contiguous run of input padded to a
 * multiple of four with zero weights (what the input holds there does not matter).
 */
import type { RequantRule, RequantTable } from "../../ops/quant/requantize-rule.ts";
import { type Tensor, tensorOf } from "../../tensor/tensor.ts";
import { ceilDiv } from "../../util/math.ts";
import { type ConvGeometry, type Loops, perChannel } from "./geometry.ts";

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

/** Depth of a panel in groups of four. */
export const quads = (loops: Loops): number => loops.runs * ceilDiv(loops.runLength, 4);

export function packWeights(w: Tensor, g: ConvGeometry, loops: Loops): Tensor {
  const width = 4 * loops.tile.nv;
  const perGroup = g.n / g.groups;
  const perRun = ceilDiv(loops.runLength, 4);
  const depth = loops.runs * loops.runLength;
  const packed = new Int8Array(g.groups * loops.panels * quads(loops) * width * 4);
  for (let o = 0; o < g.n; o++) {
    const group = Math.floor(o / perGroup);
    const channel = o % perGroup;
    const panel = group * loops.panels + Math.floor(channel / width);
    for (let run = 0; run < loops.runs; run++) {
      for (let i = 0; i < loops.runLength; i++) {
        const quad = panel * quads(loops) + run * perRun + (i >> 2);
        const at = (quad * width + (channel % width)) * 4 + (i & 3);
        packed[at] = w.data[o * depth + run * loops.runLength + i] as number;
      }
    }
  }
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
  const start = (zero: number): number[] =>
    perChannel(
      (o) => ((bias === undefined ? 0 : (bias.data[o] as number)) - Math.imul(zero, sums[o]!)) | 0,
      g,
      loops,
      0,
    );
  const signed = xDtype === "u8" ? xZero - 128 : xZero;
  const values = [...start(xZero), ...start(signed), ...start(signed + 128)];
  return tensorOf("i32", [values.length], values);
}

/** A requantisation parameter: a constant, or a table with one entry per channel in panel order. */
export interface Parameter {
  readonly table: RequantTable;
  readonly tensor: Tensor | null;
}

export function requantParameters(
  rule: RequantRule,
  g: ConvGeometry,
  loops: Loops,
): Parameter[] | null {
  if (rule.vectorTables === null) return null;
  return rule.vectorTables.map((table) => {
    if (table.values.length === 1) return { table, tensor: null };
    const values = perChannel((o) => table.values[o]!, g, loops, table.values[0]!);
    return { table, tensor: tensorOf(table.dtype, [values.length], values) };
  });
}
