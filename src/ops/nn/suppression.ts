/**
 * @file Greedy suppression of overlapping boxes, shared by non_max_suppression and
 * detection_postprocess: the best remaining box is taken, the remaining ones that overlap it too
 * much are dropped, and so on. Of equal scores the lower index goes first. Overlap is computed in
 * f64 in eval and in kernels.
 */
import {
  add,
  binary,
  f64,
  i32,
  type KernelBuilder,
  max,
  min,
  mul,
  select,
  sub,
} from "../../kernel/build.ts";
import type { Buffer, Expr } from "../../kernel/ir.ts";

/** Two opposite corners, in either order: y1, x1, y2, x2. */
export type Box = readonly [number, number, number, number];
export type BoxExpr = readonly [Expr, Expr, Expr, Expr];

/** Intersection over union; 0 when a box is empty. */
export function overlap(a: Box, b: Box): number {
  const area = (p: Box): number => Math.abs(p[2] - p[0]) * Math.abs(p[3] - p[1]);
  const shared = (i: 0 | 1): number => {
    const low = Math.max(Math.min(a[i], a[i + 2]!), Math.min(b[i], b[i + 2]!));
    const high = Math.min(Math.max(a[i], a[i + 2]!), Math.max(b[i], b[i + 2]!));
    return Math.max(high - low, 0);
  };
  const common = shared(0) * shared(1);
  const union = area(a) + area(b) - common;
  return area(a) > 0 && area(b) > 0 && union > 0 ? common / union : 0;
}

/** Indices of the boxes kept, best first. `candidate`: whether a box takes part at all. */
export function suppress(
  count: number,
  most: number,
  candidate: (i: number) => boolean,
  score: (i: number) => number,
  box: (i: number) => Box,
  threshold: number,
): number[] {
  const order = Array.from({ length: count }, (_, i) => i).filter(candidate);
  order.sort((a, b) => score(b) - score(a) || a - b);
  const kept: number[] = [];
  for (const i of order) {
    if (kept.length === most) break;
    if (kept.every((j) => !(overlap(box(j), box(i)) > threshold))) kept.push(i);
  }
  return kept;
}

function overlapExpr(k: KernelBuilder, a: BoxExpr, b: BoxExpr): Expr {
  const side = (p: BoxExpr, i: number): readonly [Expr, Expr] => [
    k.let("low", min(p[i]!, p[i + 2]!)),
    k.let("high", max(p[i]!, p[i + 2]!)),
  ];
  const [ay, ax, by, bx] = [side(a, 0), side(a, 1), side(b, 0), side(b, 1)];
  const area = (y: readonly [Expr, Expr], x: readonly [Expr, Expr]): Expr =>
    k.let("area", mul(sub(y[1], y[0]), sub(x[1], x[0])));
  const shared = (p: readonly [Expr, Expr], q: readonly [Expr, Expr]): Expr =>
    max(sub(min(p[1], q[1]), max(p[0], q[0])), f64(0));
  const [areaA, areaB] = [area(ay, ax), area(by, bx)];
  const common = k.let("common", mul(shared(ay, by), shared(ax, bx)));
  const union = k.let("union", sub(add(areaA, areaB), common));
  const positive = [areaA, areaB, union].map((e) => binary("gt", e, f64(0)));
  const real = positive.reduce((p, q) => binary("and", p, q));
  return select(real, binary("div", common, union), f64(0));
}

export interface SuppressSpec {
  readonly count: number;
  readonly most: number;
  /** Scratch of `count` bytes. */
  readonly alive: Buffer;
  readonly threshold: number;
  candidate(i: Expr): Expr;
  /** Any float type. */
  score(i: Expr): Expr;
  /** f64. */
  box(i: Expr): BoxExpr;
  /** Called for each box kept, best first. */
  keep(i: Expr): void;
}

/** The index of the best entry alive, -1 for none. */
function best(k: KernelBuilder, s: SuppressSpec): Expr {
  const found = k.reg("found", i32(-1));
  k.for("i", 0, s.count, (i) => {
    k.if(k.load(s.alive, i), () => {
      const rival = s.score(max(found, 0));
      const better = binary("gt", s.score(i), rival);
      k.if(binary("or", binary("lt", found, 0), better), () => k.set(found, i));
    });
  });
  return found;
}

/** suppress() in a kernel. */
export function suppressKernel(k: KernelBuilder, s: SuppressSpec): void {
  k.for("i", 0, s.count, (i) => k.store(s.alive, i, s.candidate(i)));
  const done = k.reg("done", 0);
  k.for("pick", 0, Math.min(s.most, s.count), () => {
    k.if(binary("eq", done, 0), () => {
      const found = best(k, s);
      const otherwise = (): void => k.set(done, 1);
      k.if(
        binary("ge", found, 0),
        () => {
          s.keep(found);
          k.store(s.alive, found, i32(0));
          const winner = s.box(found).map((e) => k.let("winner", e)) as unknown as BoxExpr;
          k.for("i", 0, s.count, (i) => {
            k.if(k.load(s.alive, i), () => {
              const other = s.box(i).map((e) => k.let("other", e)) as unknown as BoxExpr;
              const much = binary("gt", overlapExpr(k, winner, other), f64(s.threshold));
              k.if(much, () => k.store(s.alive, i, i32(0)));
            });
          });
        },
        otherwise,
      );
    });
  });
}
