/** @file The row workspace: the `kh` input rows that a row of output reads, padding included. */
import { add, and, ge, i32, type KernelBuilder, lt, mul } from "../../kernel/build.ts";
import type { Expr } from "../../kernel/ir.ts";
import type { ConvGeometry, Loops } from "./geometry.ts";
import type { Row } from "./loops.ts";

/** Elements of the workspace; `slack` more may be read (never used) behind the last one. */
export const workspaceSize = (g: ConvGeometry, loops: Loops): number =>
  loops.flat ? loops.length * g.c : g.kh * g.span * g.c;

/** How a kernel moves input elements into its workspace. */
export interface RowMover {
  /** Copies `count` elements (a constant) from input element `from` to workspace element `to`. */
  copy(from: Expr, to: Expr, count: number): void;
  /** Fills `count` workspace elements from `to` with what padding reads. */
  fill(to: Expr, count: number): void;
}

/** Fills the columns that are padding in every row; once per call of the kernel. */
export function fillBorders(g: ConvGeometry, loops: Loops, mover: RowMover): void {
  if (!loops.flat && g.padded) mover.fill(i32(0), g.kh * g.span * g.c);
}

/** Brings the rows of one output row into the workspace. */
export function packRows(
  k: KernelBuilder,
  g: ConvGeometry,
  loops: Loops,
  row: Row,
  mover: RowMover,
): void {
  if (loops.flat) {
    mover.copy(row.x, i32(0), loops.length * g.c);
    return;
  }
  const columns = Math.min(g.w, g.span - g.padLeft);
  const rowElements = g.span * g.c;
  k.for("pack", 0, g.kh, (ky) => {
    const y = k.let("y_in", add(row.inputRow, mul(ky, g.dh)));
    const to = k.let("to", add(mul(ky, rowElements), g.padLeft * g.c));
    const copy = (): void =>
      mover.copy(k.let("from", add(row.image, mul(y, g.w * g.c))), to, columns * g.c);
    if (!g.padded) copy();
    else k.if(and(ge(y, 0), lt(y, g.h)), copy, () => mover.fill(to, columns * g.c));
  });
}
