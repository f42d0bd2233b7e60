/** @file What the weight gradients share: parts of a loop, and input rows brought into a padded workspace. */
import { add, affine, and, constant, ge, type KernelBuilder, lt, mul } from "../../kernel/build.ts";
import type { Buffer, Expr } from "../../kernel/ir.ts";
import type { ConvGeometry } from "../gemm/geometry.ts";

/** Where part `i` of `parts` of a loop of `count` begins. */
export const partStart = (i: Expr, count: number, parts: number): Expr =>
  count % parts === 0
    ? mul(i, count / parts)
    : { kind: "binary", type: "i32", op: "div", a: mul(i, count), b: constant("i32", parts) };

export interface RowBlock {
  /** Of one group. */
  readonly g: ConvGeometry;
  readonly groups: number;
  readonly inputRows: number;
}

/** Brings the input rows of output rows from `oy` on into the workspace; columns of padding stay zero. */
export function bringRows(
  k: KernelBuilder,
  { g, groups, inputRows }: RowBlock,
  x: Buffer,
  rows: Buffer,
  image: Expr,
  oy: Expr,
  group: Expr,
): void {
  const pixel = g.c * groups;
  const skipped = Math.max(0, -g.padLeft);
  const begin = Math.max(0, g.padLeft);
  const columns = Math.min(g.w - skipped, g.span - begin);
  if (columns <= 0) return;
  const first = k.let("iy", affine([oy, g.sh], -g.padTop));
  k.for("row", 0, inputRows, (r) => {
    const y = k.let("y_in", add(first, r));
    const to = k.let("to_row", affine([r, g.span * g.c], begin * g.c));
    const copy = (): void => {
      const from = affine(
        [image, g.h * g.w * pixel],
        [y, g.w * pixel],
        [group, g.c],
        skipped * pixel,
      );
      if (groups === 1) k.copy(rows, to, x, from, columns * g.c);
      else {
        const start = k.let("from", from);
        k.for("column", 0, columns, (column) => {
          k.copy(rows, affine(to, [column, g.c]), x, affine(start, [column, pixel]), g.c);
        });
      }
    };
    const clear = (): void => k.fill(rows, to, 0, columns * g.c);
    k.if(and(ge(y, 0), lt(y, g.h)), copy, clear);
  });
}
