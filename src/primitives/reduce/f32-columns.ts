/** @file f32 sums and means over a run of axes before the last: 32 columns at a time. */

import type { Op } from "../../graph/op.ts";
import { add, affine, binary, constant, i32, KernelBuilder, mul } from "../../kernel/build.ts";
import { type Buffer, type Expr, type Kernel, type KType, lanesOf } from "../../kernel/ir.ts";
import type { ReduceAttrs } from "../../ops/reduce/define.ts";
import { reduceMean } from "../../ops/reduce/reduce-mean.ts";
import { reduceSum } from "../../ops/reduce/reductions.ts";
import { product } from "../../util/math.ts";
import { definePrimitive, operandBytes, type Primitive } from "../primitive.ts";

/** Values [outer, rows, columns], summed over the rows. */
interface Columns {
  readonly outer: number;
  readonly rows: number;
  readonly columns: number;
}

/** Vectors of columns summed together. */
const VECTORS = 8;

/** The shape seen so; null when the axes are not a run before the last. */
function columnsOf(shape: readonly number[], axes: readonly number[]): Columns | null {
  const first = axes[0];
  const last = shape.length - 1;
  if (first === undefined || axes.length !== last - first) return null;
  if (axes.some((axis, i) => axis !== first + i)) return null;
  const rows = product(shape.slice(first, last));
  return { outer: product(shape.slice(0, first)), rows, columns: shape[last]! };
}

/** Sums of `count` neighbouring vectors (or numbers) over all rows; few are summed in several parts at once. */
function sumRows(
  k: KernelBuilder,
  x: Buffer,
  { rows, columns }: Omit<Columns, "outer">,
  at: Expr,
  type: KType,
  count: number,
): readonly Expr[] {
  const parts = Math.max(1, Math.min(rows, Math.floor(VECTORS / count)));
  const zero = constant(type, 0);
  const sums = Array.from({ length: parts }, () =>
    Array.from({ length: count }, () => k.reg("sum", zero)),
  );
  const addRow = (r: Expr, part: readonly Expr[]): void => {
    for (const [i, sum] of part.entries()) {
      const from = affine(at, [r, columns], i * lanesOf(type));
      k.set(sum, add(sum, k.load(x, from, type)));
    }
  };
  const whole = rows - (rows % parts);
  k.for("r", 0, whole, (r) => sums.forEach((part, p) => addRow(add(r, p), part)), { step: parts });
  k.for("r", whole, rows, (r) => addRow(r, sums[0]!));
  return sums.reduce((a, b) => a.map((s, i) => k.let("sums", add(s, b[i]!))));
}

function kernelOf({ outer, rows, columns }: Columns, mean: boolean): Kernel {
  const k = new KernelBuilder(mean ? "reduce_mean" : "reduce_sum");
  const x = k.buffer("x", "f32", outer * rows * columns, "in");
  const y = k.buffer("y", "f32", outer * columns, "out");
  k.forParallel("outer", 0, outer, (o) => {
    const from = k.let("from", mul(o, rows * columns));
    const to = k.let("to", mul(o, columns));
    const block = (type: KType, count: number) => (c: Expr) => {
      const at = k.let("at", add(from, c));
      const sums = sumRows(k, x, { rows, columns }, at, type, count);
      for (const [i, sum] of sums.entries()) {
        const total = mean ? binary("div", sum, constant(type, rows)) : sum;
        k.store(y, affine(to, c, i * lanesOf(type)), total);
      }
    };
    const width = 4 * VECTORS;
    const whole = columns - (columns % width);
    const vectors = Math.floor((columns - whole) / 4);
    const left = columns - whole - 4 * vectors;
    k.forParallel("c", 0, whole, block("f32x4", VECTORS), { step: width });
    if (vectors > 0) block("f32x4", vectors)(i32(whole));
    if (left > 0) block("f32", left)(i32(columns - left));
  });
  return k.build();
}

const columnSums = (op: Op<ReduceAttrs>, mean: boolean): Primitive<ReduceAttrs> =>
  definePrimitive({
    name: `f32_${op.name}_columns`,
    op,
    candidates: (input) => {
      const { ins, outs, attrs } = input;
      const shape = columnsOf(ins[0]!.shape, attrs.axes);
      if (shape === null || ins[0]!.dtype !== "f32" || outs[0]!.dtype !== "f32") return [];
      if (shape.rows === 0 || shape.columns === 0) return [];
      const implement = () => ({
        inPlace: false,
        steps: [
          {
            kernel: kernelOf(shape, mean),
            operands: [
              { kind: "in", index: 0 },
              { kind: "out", index: 0 },
            ] as const,
            args: [],
          },
        ],
      });
      const work = { macs: 0, bytes: operandBytes(input) };
      return [{ name: `f32_${op.name}_columns`, family: "columns", work, implement }];
    },
  });

export const reduceSumColumns = columnSums(reduceSum, false);
export const reduceMeanColumns = columnSums(reduceMean, true);
