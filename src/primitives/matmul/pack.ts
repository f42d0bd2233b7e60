/** @file Brings a panel of the right operand of a matrix product into rows of neighbouring columns. */
import { add, affine, type KernelBuilder, mul } from "../../kernel/build.ts";
import type { Buffer, Expr } from "../../kernel/ir.ts";
import { transpose4 } from "../vector/lanes.ts";

/** A panel: `columns` of `depth` elements; `step` between columns, or between elements of a column. */
interface Panel {
  readonly depth: number;
  readonly step: number;
  readonly columns: number;
}

/**
 * work[k * width + j] = b[from + j * step + k]. Behind the columns there are, up to the next vector of four,
 * the last one is repeated: it is multiplied but not stored.
 */
export function packColumns(
  k: KernelBuilder,
  work: Buffer,
  b: Buffer,
  from: Expr,
  width: number,
  { depth, step, columns }: Panel,
): void {
  const whole = depth - (depth % 4);
  for (let j = 0; j < columns; j += 4) {
    const count = Math.min(4, columns - j);
    const column = (i: number): number => (j + Math.min(i, count - 1)) * step;
    k.for(
      "k",
      0,
      whole,
      (i) => {
        const rows = [0, 1, 2, 3].map((c) =>
          k.let("v", k.load(b, affine(from, i, column(c)), "f32x4")),
        );
        const to = k.let("to", affine([i, width], j));
        for (const [r, v] of transpose4(k, rows).entries()) k.store(work, add(to, r * width), v);
      },
      { step: 4 },
    );
    k.for("k", whole, depth, (i) => {
      for (let c = 0; c < 4; c++) {
        k.store(work, affine([i, width], j + c), k.load(b, affine(from, i, column(c))));
      }
    });
  }
}

/** work[k * width + j] = b[from + k * step + j], behind the columns as above. */
export function packRows(
  k: KernelBuilder,
  work: Buffer,
  b: Buffer,
  from: Expr,
  width: number,
  { depth, step, columns }: Panel,
): void {
  const whole = columns - (columns % 4);
  k.for("k", 0, depth, (i) => {
    const row = k.let("row", affine(from, [i, step]));
    const to = k.let("to", mul(i, width));
    for (let j = 0; j < whole; j += 4) k.store(work, add(to, j), k.load(b, add(row, j), "f32x4"));
    for (let j = whole; j < columns; j++) k.store(work, add(to, j), k.load(b, add(row, j)));
    for (let j = columns; j % 4 !== 0; j++) {
      k.store(work, add(to, j), k.load(b, add(row, columns - 1)));
    }
  });
}
