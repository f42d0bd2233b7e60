/**
 * @file The cosine transform in O(N log N) steps by orthogonal factors only, which are stable (Plonka & Tasche 2005):
 * sums and differences of mirrored elements leave a DCT-II and a DCT-IV of half the size; rotations of mirrored
 * elements turn a DCT-IV into two DCT-II of half its size.
 */
import type { GraphBuilder, Value } from "../../graph/graph.ts";
import { tensorOf } from "../../tensor/tensor.ts";
import { add } from "../elementwise/add.ts";
import { mul } from "../elementwise/mul.ts";
import { neg } from "../elementwise/neg.ts";
import { sub } from "../elementwise/sub.ts";
import { concat } from "../shape/concat.ts";
import { reshape } from "../shape/reshape.ts";
import { slice } from "../shape/slice.ts";

/** The transform by its matrix, or back. */
type Dense = (x: Value, inverse: boolean) => Value;

interface Fast {
  readonly g: GraphBuilder;
  readonly dense: Dense;
  /** Sizes up to this are left to the matrix. */
  readonly base: number;
}

const sizeOf = ({ g }: Fast, x: Value): number => g.typeOf(x).shape.at(-1)!;

/** Elements of the last axis: `count` from `first` on, `step` apart. */
function take({ g }: Fast, x: Value, first: number, count: number, step: number): Value {
  const { shape } = g.typeOf(x);
  const start = shape.map((_, i) => (i === shape.length - 1 ? first : 0));
  const steps = shape.map((_, i) => (i === shape.length - 1 ? step : 1));
  return g.apply(slice, [x], { start, size: shape.with(-1, count), step: steps });
}

const reversed = (f: Fast, x: Value): Value => take(f, x, sizeOf(f, x) - 1, sizeOf(f, x), -1);

function joined({ g }: Fast, parts: readonly Value[]): Value {
  return g.apply(concat, parts, { axis: g.typeOf(parts[0]!).shape.length - 1 });
}

/** a0 b0 a1 b1 ... along the last axis. */
function interleaved(f: Fast, a: Value, b: Value): Value {
  const { g } = f;
  const { shape } = g.typeOf(a);
  const wide = (v: Value): Value => g.apply(reshape, [v], { shape: [...shape, 1] });
  return g.apply(reshape, [joined(f, [wide(a), wide(b)])], {
    shape: shape.with(-1, shape.at(-1)! * 2),
  });
}

function times({ g }: Fast, x: Value, factors: readonly number[]): Value {
  const { dtype } = g.typeOf(x);
  const shape = factors.length === 1 ? [] : [factors.length];
  return g.apply(mul, [x, g.constant(tensorOf(dtype, shape, factors))]);
}

const HALF = [Math.SQRT1_2];

/** Two transforms at once, as rows of one; and apart again. */
function both(f: Fast, a: Value, b: Value, transform: (v: Value) => Value): [Value, Value] {
  const { g } = f;
  const { shape } = g.typeOf(a);
  const n = shape.at(-1)!;
  const rows = [...shape.slice(0, -1), 2, n];
  const y = transform(g.apply(reshape, [joined(f, [a, b])], { shape: rows }));
  const flat = g.apply(reshape, [y], { shape: shape.with(-1, 2 * n) });
  return [take(f, flat, 0, n, 1), take(f, flat, n, n, 1)];
}

function forward(f: Fast, x: Value): Value {
  const { g } = f;
  const n = sizeOf(f, x);
  if (n <= f.base || n % 4 !== 0) return f.dense(x, false);
  const half = n / 2;
  const a = take(f, x, 0, half, 1);
  const b = take(f, x, n - 1, half, -1);
  const even = forward(f, times(f, g.apply(add, [a, b]), HALF));
  const odd = fourth(f, times(f, g.apply(sub, [a, b]), HALF));
  return interleaved(f, even, odd);
}

function backward(f: Fast, x: Value): Value {
  const { g } = f;
  const n = sizeOf(f, x);
  if (n <= f.base || n % 4 !== 0) return f.dense(x, true);
  const half = n / 2;
  const u = times(f, backward(f, take(f, x, 0, half, 2)), HALF);
  const v = times(f, fourth(f, take(f, x, 1, half, 2)), HALF);
  return joined(f, [g.apply(add, [u, v]), reversed(f, g.apply(sub, [u, v]))]);
}

/** DCT-IV, its own inverse: y[k] = sqrt(2/M) * sum over n of x[n] cos(pi (2n+1) (2k+1) / 4M). M is even. */
function fourth(f: Fast, x: Value): Value {
  const { g } = f;
  const m = sizeOf(f, x);
  const half = m / 2;
  const angle = (n: number): number => (Math.PI * (2 * n + 1)) / (4 * m);
  const list = (of: (n: number) => number): number[] =>
    Array.from({ length: half }, (_, n) => of(n));
  const sign = (n: number): number => (n % 2 === 0 ? 1 : -1);
  const a = take(f, x, 0, half, 1);
  const b = take(f, x, m - 1, half, -1);
  const p = g.apply(add, [
    times(
      f,
      a,
      list((n) => Math.cos(angle(n))),
    ),
    times(
      f,
      b,
      list((n) => Math.sin(angle(n))),
    ),
  ]);
  const q = g.apply(sub, [
    times(
      f,
      b,
      list((n) => sign(n) * Math.cos(angle(n))),
    ),
    times(
      f,
      a,
      list((n) => sign(n) * Math.sin(angle(n))),
    ),
  ]);
  const [c, s] = both(f, p, q, (v) => forward(f, v));
  const first = take(f, c, 0, 1, 1);
  const last = g.apply(neg, [take(f, s, 0, 1, 1)]);
  if (half === 1) return joined(f, [first, last]);
  const cosines = times(f, take(f, c, 1, half - 1, 1), HALF);
  const sines = times(f, take(f, s, half - 1, half - 1, -1), HALF);
  const pairs = interleaved(f, g.apply(sub, [cosines, sines]), g.apply(add, [cosines, sines]));
  return joined(f, [first, pairs, last]);
}

/** The transform of the last axis (or its inverse); parts of up to `base` elements by `dense`. */
export const fastDct = (
  g: GraphBuilder,
  x: Value,
  inverse: boolean,
  dense: Dense,
  base: number,
): Value => (inverse ? backward : forward)({ g, dense, base }, x);
