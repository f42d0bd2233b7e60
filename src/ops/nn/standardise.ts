/**
 * @file Loops that bring groups of elements to a common scale: mean and variance, or mean square,
 * of each group in two passes. Shared by layer_norm, rms_norm and instance_norm.
 */
import {
  add,
  binary,
  cast,
  constant,
  type KernelBuilder,
  mul,
  sub,
  unary,
} from "../../kernel/build.ts";
import type { Expr } from "../../kernel/ir.ts";
import type { RealType } from "./access.ts";

/** Mean and 1/sqrt(variance + epsilon) of a group; `centre` false: mean 0 and the mean square. */
export interface Statistics {
  readonly mean: number;
  readonly inverse: number;
}

export function statistics(
  n: number,
  value: (i: number) => number,
  epsilon: number,
  centre: boolean,
): Statistics {
  let mean = 0;
  if (centre) {
    for (let i = 0; i < n; i++) mean += value(i);
    mean /= n;
  }
  let square = 0;
  for (let i = 0; i < n; i++) square += (value(i) - mean) ** 2;
  return { mean, inverse: 1 / Math.sqrt(square / n + epsilon) };
}

/** One group inside a kernel: how many elements, and the loop over the values of all of them. */
export interface Group {
  readonly count: number;
  each(body: (value: Expr, at: Expr) => void): void;
}

/** Gives the normalised value of each element of a group: (value - mean) * inverse. */
export function standardise(
  k: KernelBuilder,
  group: Group,
  real: RealType,
  epsilon: number,
  centre: boolean,
  body: (normal: Expr, at: Expr) => void,
): void {
  const count = cast(real, "convert_s", constant("i32", group.count));
  const n = k.let("count", count);
  let mean: Expr | null = null;
  if (centre) {
    const sum = k.reg("sum", constant(real, 0));
    group.each((v) => k.set(sum, add(sum, v)));
    mean = k.let("mean", binary("div", sum, n));
  }
  const centred = (v: Expr): Expr => (mean === null ? v : sub(v, mean));
  const squares = k.reg("squares", constant(real, 0));
  group.each((v) => {
    const d = k.let("d", centred(v));
    k.set(squares, add(squares, mul(d, d)));
  });
  const variance = binary("div", squares, n);
  const deviation = unary("sqrt", add(variance, constant(real, epsilon)));
  const inverse = k.let("inverse", binary("div", constant(real, 1), deviation));
  group.each((v, at) => body(mul(centred(v), inverse), at));
}
