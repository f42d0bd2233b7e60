/** @file Sums and means over all axes but the first and the last, or a run of axes before the last: 32 channels at a time. */

import type { Op } from "../../graph/op.ts";
import { add, affine, binary, constant, KernelBuilder, mul } from "../../kernel/build.ts";
import type { Expr, Kernel } from "../../kernel/ir.ts";
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

function kernelOf({ outer, rows, columns }: Columns, mean: boolean): Kernel {
  const k = new KernelBuilder(mean ? "reduce_mean" : "reduce_sum");
  const x = k.buffer("x", "f32", outer * rows * columns, "in");
  const y = k.buffer("y", "f32", outer * columns, "out");
  k.forParallel("outer", 0, outer, (o) => {
    const from = k.let("from", mul(o, rows * columns));
    const to = k.let("to", mul(o, columns));
    let done = 0;
    for (const [type, lanes, most] of [
      ["f32x4", 4, VECTORS],
      ["f32x4", 4, 1],
      ["f32", 1, 1],
    ] as const) {
      const width = lanes * most;
      const end = columns - ((columns - done) % width);
      const block = (c: Expr): void => {
        const zero = constant(type, 0);
        const sums = Array.from({ length: most }, () => k.reg("sum", zero));
        const at = k.let("at", add(from, c));
        k.for("r", 0, rows, (r) => {
          for (const [i, sum] of sums.entries()) {
            k.set(sum, add(sum, k.load(x, affine(at, [r, columns], i * lanes), type)));
          }
        });
        for (const [i, sum] of sums.entries()) {
          const total = mean ? binary("div", sum, constant(type, rows)) : sum;
          k.store(y, affine(to, c, i * lanes), total);
        }
      };
      k.forParallel("c", done, end, block, { step: width });
      done = end;
    }
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
