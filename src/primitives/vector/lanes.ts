/** @file Exchanges lanes between f32x4 registers. */
import { add, extract, type KernelBuilder, shuffle } from "../../kernel/build.ts";
import type { Expr } from "../../kernel/ir.ts";

const LOW = [0, 4, 1, 5];
const HIGH = [2, 6, 3, 7];

/** The transpose of a block of 4 x 4: two rounds of interleaving row i with row i + 2. */
export function transpose4(k: KernelBuilder, rows: readonly Expr[]): readonly Expr[] {
  const round = ([a, b, c, d]: readonly Expr[]): Expr[] => [
    k.let("t", shuffle(a!, c!, LOW)),
    k.let("t", shuffle(a!, c!, HIGH)),
    k.let("t", shuffle(b!, d!, LOW)),
    k.let("t", shuffle(b!, d!, HIGH)),
  ];
  return round(round(rows));
}

/** The sum of the lanes, in pairs. */
export function sumLanes(k: KernelBuilder, v: Expr): Expr {
  const halves = k.let("h", add(v, shuffle(v, v, [2, 3, 0, 1])));
  return add(extract(halves, 0), extract(halves, 1));
}

/** The sums of the lanes of four vectors, one vector. */
export function sumLanes4(k: KernelBuilder, [a, b, c, d]: readonly Expr[]): Expr {
  const pair = (x: Expr, y: Expr): Expr =>
    k.let("s", add(shuffle(x, y, [0, 4, 1, 5]), shuffle(x, y, [2, 6, 3, 7])));
  const [low, high] = [pair(a!, b!), pair(c!, d!)];
  return add(shuffle(low, high, [0, 1, 4, 5]), shuffle(low, high, [2, 3, 6, 7]));
}
