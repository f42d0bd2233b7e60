/**
 * @file What a training step does with masked weights. Sources: SR-STE, Zhou et al., arXiv:2102.04010; movement pruning,
 * Sanh et al., arXiv:2005.07683; growth by gradients, Evci et al., arXiv:1911.11134.
 */
import { Calc, num } from "../../autodiff/calc.ts";
import type { LayerWeights } from "../../compress/sparsity/index.ts";
import type { GraphBuilder, Value } from "../../graph/graph.ts";
import { abs } from "../../ops/elementwise/abs.ts";
import { cast } from "../../ops/elementwise/cast.ts";
import { equal } from "../../ops/elementwise/equal.ts";
import { greater } from "../../ops/elementwise/greater.ts";
import { less } from "../../ops/elementwise/less.ts";
import { reduceSum } from "../../ops/reduce/index.ts";
import { concat } from "../../ops/shape/concat.ts";
import { slice } from "../../ops/shape/slice.ts";
import { tensorOf } from "../../tensor/tensor.ts";
import { product } from "../../util/math.ts";

export type MaskUpdate =
  /** Masked weights are 0 and stay. */
  | { readonly kind: "zero" }
  /** The same, and the gradients of all weights are kept as state: what would change if a weight came back. */
  | { readonly kind: "gradients" }
  /** Masked weights keep their values; scores gather -gradient * weight over the steps, for all weights. */
  | { readonly kind: "movement" }
  /**
   * All weights learn by the gradients of the masked ones, masked ones with `lambda` of themselves added, and the step
   * ends by masks that keep the n largest of each m inputs.
   */
  | { readonly kind: "sr-ste"; readonly n: number; readonly m: number; readonly lambda?: number };

/** Whether masked weights have values of their own. */
export const isLatent = ({ kind }: MaskUpdate): boolean => kind === "movement" || kind === "sr-ste";

/** Names of state beside a parameter. */
export const gradientName = (parameter: string): string => `${parameter}:gradient`;
export const scoreName = (parameter: string): string => `${parameter}:score`;

/** The default of SR-STE's lambda. */
export const LAMBDA = 2e-4;

/** The gradient for the optimiser, of a masked parameter. `dense`: that of the loss by the masked value. */
export function maskedGradient(
  g: GraphBuilder,
  update: MaskUpdate,
  own: { readonly parameter: Value; readonly mask: Value; readonly dense: Value },
): Value {
  const c = new Calc(g);
  if (update.kind !== "sr-ste") return c.mul(own.dense, own.mask);
  const gone = c.mul(c.sub(num(1), own.mask), own.parameter);
  return c.add(own.dense, c.mul(gone, num(update.lambda ?? LAMBDA)));
}

/** State of a masked parameter beside its mask: its name, and what it becomes. */
export function extraState(
  g: GraphBuilder,
  update: MaskUpdate,
  name: string,
  own: { readonly parameter: Value; readonly dense: Value },
): { readonly name: string; readonly next: (old: Value) => Value } | null {
  const c = new Calc(g);
  if (update.kind === "gradients") return { name: gradientName(name), next: () => own.dense };
  if (update.kind !== "movement") return null;
  return {
    name: scoreName(name),
    next: (old) => c.sub(old, c.mul(own.dense, own.parameter)),
  };
}

/**
 * The mask that keeps the n largest magnitudes of each m neighbours along an axis, as `nmMasks` does: axes of fewer
 * than m stay whole, a last group cut short keeps the same share, the first of equal ones stay.
 */
export function nmMaskOf(g: GraphBuilder, w: Value, axis: number, n: number, m: number): Value {
  const { shape } = g.typeOf(w);
  const size = shape[axis]!;
  const whole = size - (size % m);
  const part = (start: number, count: number, group: number): Value => {
    const at = shape.map((_, i) => (i === axis ? start : 0));
    const own = shape.map((d, i) => (i === axis ? count : d));
    const step = shape.map(() => 1);
    const x = count === size ? w : g.apply(slice, [w], { start: at, size: own, step });
    return largest(g, x, axis, Math.ceil((n * group) / m), group);
  };
  if (whole === 0)
    return g.constant(tensorOf("f32", shape, new Float32Array(product(shape)).fill(1)));
  if (whole === size) return part(0, size, m);
  return g.apply(concat, [part(0, whole, m), part(whole, size - whole, size - whole)], { axis });
}

/** 1 where fewer than `stay` of the same group of `m` along the axis are larger, or as large and before it. */
function largest(g: GraphBuilder, x: Value, axis: number, stay: number, m: number): Value {
  const c = new Calc(g);
  const { shape } = g.typeOf(x);
  const [before, behind] = [product(shape.slice(0, axis)), product(shape.slice(axis + 1))];
  const groups = shape[axis]! / m;
  const size = g.apply(abs, [x]);
  const mine = c.reshape(size, [before * groups, m, 1, behind]);
  const other = c.reshape(size, [before * groups, 1, m, behind]);
  const real = (v: Value): Value => g.apply(cast, [v], { to: "f32" });
  const ahead = Float32Array.from({ length: m * m }, (_, i) => (i % m < Math.floor(i / m) ? 1 : 0));
  const first = g.constant(tensorOf("f32", [1, m, m, 1], ahead));
  const beats = c.add(
    real(c.compare(greater, other, mine)),
    c.mul(real(c.compare(equal, other, mine)), first),
  );
  const rank = g.apply(reduceSum, [beats], { axes: [2], keepDims: false });
  return c.reshape(real(c.compare(less, rank, num(stay))), shape);
}

/** What a masked parameter and its mask are after the step. `updated`: by the optimiser. */
export function settled(
  g: GraphBuilder,
  update: MaskUpdate,
  own: { readonly parameter: Value; readonly mask: Value; readonly updated: Value },
  layer: LayerWeights | undefined,
): { readonly parameter: Value; readonly mask: Value } {
  const c = new Calc(g);
  const { parameter, mask, updated } = own;
  switch (update.kind) {
    case "zero":
    case "gradients":
      return { parameter: c.mul(updated, mask), mask };
    case "movement":
      return { parameter: c.select(c.compare(greater, mask, num(0)), updated, parameter), mask };
    case "sr-ste": {
      if (layer === undefined) return { parameter: updated, mask };
      return { parameter: updated, mask: nmMaskOf(g, updated, layer.inAxis, update.n, update.m) };
    }
  }
}
