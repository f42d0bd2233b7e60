/** @file Limits on gradients. */
import { Calc, num } from "../autodiff/calc.ts";
import type { GraphBuilder, Value } from "../graph/graph.ts";
import { clip } from "../ops/elementwise/clip.ts";
import { min } from "../ops/elementwise/min.ts";
import { sqrt } from "../ops/elementwise/sqrt.ts";
import { reduceSumSquare } from "../ops/reduce/index.ts";

export interface ClipOptions {
  /** Largest magnitude of an element of a gradient; default none. Comes before the norm. */
  readonly clipValue?: number;
  /** Largest norm of all gradients together; default none. */
  readonly clipNorm?: number;
}

/** Every element within the limit; then all gradients times one factor, so that their norm is. */
export function clipped(
  g: GraphBuilder,
  gradients: readonly Value[],
  { clipValue, clipNorm }: ClipOptions,
): readonly Value[] {
  const limits = { min: -(clipValue ?? 0), max: clipValue ?? 0 };
  const within =
    clipValue === undefined ? gradients : gradients.map((v) => g.apply(clip, [v], limits));
  return clipNorm === undefined ? within : withinNorm(g, within, clipNorm);
}

function withinNorm(g: GraphBuilder, gradients: readonly Value[], limit: number): readonly Value[] {
  const c = new Calc(g);
  const squares = gradients.map((v) => {
    const axes = c.shape(v).map((_, i) => i);
    return g.apply(reduceSumSquare, [v], { axes, keepDims: false });
  });
  const norm = g.apply(sqrt, [squares.reduce((a, b) => c.add(a, b))]);
  const ratio = c.div(num(limit), c.add(norm, num(1e-6)));
  const factor = g.apply(min, [ratio, c.scalar(1, ratio)]);
  return gradients.map((v) => c.mul(v, factor));
}
