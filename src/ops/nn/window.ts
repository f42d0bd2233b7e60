/**
 * @file Visiting the elements under a window, in eval and in kernels: padding is left out by loop
 * bounds.
 */
import { add, affine, binary, i32, type KernelBuilder, max, min, sub } from "../../kernel/build.ts";
import type { Expr } from "../../kernel/ir.ts";
import { clamp } from "../../util/math.ts";
import type { Grid, Triple, Window } from "./spatial.ts";

/** Taps [begin, end) of a window at output position `at` that lie inside `size` elements. */
export function tapRange(w: Window, axis: 0 | 1 | 2, size: number, at: number): [number, number] {
  const origin = at * w.stride[axis] - w.pad[axis];
  const dilation = w.dilation[axis];
  const kernel = w.kernel[axis];
  const begin = clamp(Math.ceil(-origin / dilation), 0, kernel);
  return [begin, clamp(Math.ceil((size - origin) / dilation), begin, kernel)];
}

/** Calls `visit` for each output position in row-major order. */
export function forEachPosition(
  size: Triple,
  visit: (d: number, h: number, w: number) => void,
): void {
  for (let d = 0; d < size[0]; d++) {
    for (let h = 0; h < size[1]; h++) {
      for (let w = 0; w < size[2]; w++) visit(d, h, w);
    }
  }
}

/**
 * Calls `visit` with the tap and the input's offset (batch and channel left out) for every tap
 * inside. Taps count through the window in row-major order.
 */
export function forEachTap(
  w: Window,
  x: Grid,
  at: Triple,
  visit: (tap: number, offset: number) => void,
): void {
  const [d0, d1] = tapRange(w, 0, x.size[0], at[0]);
  const [h0, h1] = tapRange(w, 1, x.size[1], at[1]);
  const [w0, w1] = tapRange(w, 2, x.size[2], at[2]);
  const origin = at.map((o, i) => o * w.stride[i]! - w.pad[i]!);
  for (let d = d0; d < d1; d++) {
    const dOffset = (origin[0]! + d * w.dilation[0]) * x.stride[0];
    for (let h = h0; h < h1; h++) {
      const hOffset = dOffset + (origin[1]! + h * w.dilation[1]) * x.stride[1];
      const tap = (d * w.kernel[1] + h) * w.kernel[2];
      for (let k = w0; k < w1; k++) {
        visit(tap + k, hOffset + (origin[2]! + k * w.dilation[2]) * x.stride[2]);
      }
    }
  }
}

/** A window placed at one output position inside a kernel. */
export interface PlacedWindow {
  /** Taps inside, as an i32. */
  readonly count: Expr;
  /** Loops over the taps inside; `tap` and `position` hold one expression per axis. */
  each(body: (tap: readonly Expr[], position: readonly Expr[]) => void): void;
}

interface Range {
  readonly begin: Expr;
  readonly end: Expr;
  readonly origin: Expr;
}

/** Whether every tap lies inside at every one of `count` output positions. */
function alwaysInside(w: Window, axis: 0 | 1 | 2, size: number, count: number): boolean {
  const last = (count - 1) * w.stride[axis] + (w.kernel[axis] - 1) * w.dilation[axis] - w.pad[axis];
  return w.pad[axis] <= 0 && last < size;
}

function placeAxis(
  k: KernelBuilder,
  w: Window,
  axis: 0 | 1 | 2,
  size: number,
  count: number,
  at: Expr,
): Range {
  const kernel = w.kernel[axis];
  const dilation = w.dilation[axis];
  const origin = k.let("origin", affine([at, w.stride[axis]], -w.pad[axis]));
  if (alwaysInside(w, axis, size, count)) return { begin: i32(0), end: i32(kernel), origin };
  // Division truncates toward zero; what it gets wrong below zero the clamps cut off.
  const taps = (distance: Expr): Expr =>
    dilation === 1 ? distance : binary("div", add(distance, dilation - 1), dilation);
  const begin = k.let("begin", max(0, taps(sub(0, origin))));
  const end = k.let("end", min(kernel, taps(sub(size, origin))));
  return { begin, end, origin };
}

/**
 * Computes the bounds of the window at output position `at`, out of `counts` positions per axis.
 */
export function placeWindow(
  k: KernelBuilder,
  w: Window,
  size: Triple,
  counts: Triple,
  at: readonly Expr[],
): PlacedWindow {
  const axes = [0, 1, 2] as const;
  const ranges = axes.map((axis) => placeAxis(k, w, axis, size[axis], counts[axis], at[axis]!));
  const lengths = ranges.map((r) => max(0, sub(r.end, r.begin)));
  return {
    count: lengths.reduce((a, b) => binary("mul", a, b)),
    each: (body) => {
      const nest = (axis: number, tap: readonly Expr[], position: readonly Expr[]): void => {
        const range = ranges[axis];
        if (range === undefined) {
          body(tap, position);
          return;
        }
        k.for("tap", range.begin, range.end, (t) => {
          const p = affine(range.origin, [t, w.dilation[axis]!]);
          nest(axis + 1, [...tap, t], [...position, p]);
        });
      };
      nest(0, [], []);
    },
  };
}

/** Offset of a spatial position. */
export const spatialOffset = (position: readonly Expr[], grid: Grid): Expr =>
  affine(...position.map((p, i) => [p, grid.stride[i]!] as const));

/** Loops over batch and output positions. */
export function forEachImagePosition(
  k: KernelBuilder,
  y: Grid,
  body: (n: Expr, at: readonly Expr[]) => void,
): void {
  k.forParallel("n", 0, y.batch, (n) =>
    k.forParallel("d", 0, y.size[0], (d) =>
      k.forParallel("h", 0, y.size[1], (h) =>
        k.forParallel("w", 0, y.size[2], (w) => body(n, [d, h, w])),
      ),
    ),
  );
}

/** Loops over batch, channels and output positions in the memory order of `y`. */
export function forEachOutput(
  k: KernelBuilder,
  y: Grid,
  channelsInner: boolean,
  body: (n: Expr, c: Expr, at: readonly Expr[]) => void,
): void {
  const spatial = (then: (at: readonly Expr[]) => void): void =>
    k.forParallel("d", 0, y.size[0], (d) =>
      k.forParallel("h", 0, y.size[1], (h) =>
        k.forParallel("w", 0, y.size[2], (w) => then([d, h, w])),
      ),
    );
  const channels = (then: (c: Expr) => void): void => k.forParallel("c", 0, y.channels, then);
  k.forParallel("n", 0, y.batch, (n) => {
    if (channelsInner) spatial((at) => channels((c) => body(n, c, at)));
    else channels((c) => spatial((at) => body(n, c, at)));
  });
}
