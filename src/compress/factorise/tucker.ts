/**
 * @file Tucker-2 (Kim et al., arXiv:1511.06530): 1 x 1 to r3 channels, k x k to r4, 1 x 1 back. Higher-order singular
 * values (HOSVD), improved by orthogonal iteration (HOOI).
 */
import { evbmf } from "./evbmf.ts";
import type { Kernel, Layer } from "./layer.ts";
import {
  columns,
  type LeftVectors,
  leftVectors,
  type Mat,
  matOf,
  multiply,
  squaredNorm,
  transposed,
} from "./linear-algebra.ts";
import type { Factors, Method } from "./method.ts";
import { movesAlong, stage } from "./stages.ts";

export interface Tucker {
  /** [inputs, r3], orthonormal columns. */
  readonly inner: Mat;
  /** [outputs, r4], orthonormal columns. */
  readonly outer: Mat;
  /** [r4, r3, height, width]. */
  readonly core: Float64Array;
  /** Squared errors before the first and after each sweep of HOOI; never rise. */
  readonly errors: readonly number[];
  /** The square root of the cut squares of both unfoldings: no error of HOSVD or HOOI is larger. */
  readonly bound: number;
}

const MAX_SWEEPS = 50;
/** Of the norm: a sweep that gains less ends the iteration. */
const ENOUGH = 1e-5;

/** [a, b, taps] as [b, a * taps]. */
export function second(data: Float64Array, a: number, b: number, taps: number): Mat {
  const out = matOf(b, a * taps);
  for (let i = 0; i < a; i++)
    for (let j = 0; j < b; j++)
      for (let k = 0; k < taps; k++)
        out.data[(j * a + i) * taps + k] = data[(i * b + j) * taps + k]!;
  return out;
}

const tapsOf = (k: Kernel): number => k.height * k.width;

export const outputUnfolding = (k: Kernel): Mat => matOf(k.outputs, k.inputs * tapsOf(k), k.data);
export const inputUnfolding = (k: Kernel): Mat => second(k.data, k.outputs, k.inputs, tapsOf(k));

const cut = ({ squares }: LeftVectors, rank: number): number =>
  squares.slice(rank).reduce((a, b) => a + b, 0);

/** Factors of a kernel; `sweeps` 0 is HOSVD. */
export function tucker(k: Kernel, r3: number, r4: number, sweeps = MAX_SWEEPS): Tucker {
  const taps = tapsOf(k);
  const byOutput = outputUnfolding(k);
  const byInput = inputUnfolding(k);
  const [u4, u3] = [leftVectors(byOutput), leftVectors(byInput)];
  const bound = Math.sqrt(cut(u4, r4) + cut(u3, r3));
  let [outer, inner] = [columns(u4.vectors, r4), columns(u3.vectors, r3)];
  const total = squaredNorm(k.data);
  /** The kernel seen through the inner factor: [outputs, r3 * taps]. */
  const narrowed = (): Mat => {
    const m = multiply(transposed(inner), byInput);
    return matOf(k.outputs, r3 * taps, second(m.data, r3, k.outputs, taps).data);
  };
  const coreOf = (m: Mat): Mat => multiply(transposed(outer), m);
  let core = coreOf(narrowed());
  const errors = [Math.max(0, total - squaredNorm(core.data))];
  for (let i = 0; i < sweeps; i++) {
    outer = columns(leftVectors(narrowed()).vectors, r4);
    const seen = multiply(transposed(outer), byOutput);
    inner = columns(leftVectors(second(seen.data, r4, k.inputs, taps)).vectors, r3);
    core = coreOf(narrowed());
    const error = Math.max(0, total - squaredNorm(core.data));
    const gain = Math.sqrt(errors.at(-1)!) - Math.sqrt(error);
    errors.push(error);
    if (gain < ENOUGH * Math.sqrt(total)) break;
  }
  return { inner, outer, core: core.data, errors, bound };
}

/** [outputs, inputs, height, width] of the factors. */
export function tuckerDense(k: Kernel, { inner, outer, core }: Tucker): Float64Array {
  const taps = tapsOf(k);
  const [r3, r4] = [inner.cols, outer.cols];
  const wide = multiply(inner, second(core, r4, r3, taps));
  const byCore = second(wide.data, k.inputs, r4, taps);
  return multiply(outer, byCore).data;
}

function factor(layer: Layer, ranks: readonly number[]): Factors {
  const [r3, r4] = ranks as [number, number];
  const k = layer.kernel;
  const found = tucker(k, r3, r4);
  const norm = Math.sqrt(squaredNorm(k.data));
  return {
    ranks,
    dense: tuckerDense(k, found),
    bound: norm === 0 ? 0 : found.bound / norm,
    build: (place) => {
      const reduce = { shape: [r3, k.inputs, 1, 1] as const, data: transposed(found.inner).data };
      const core = { shape: [r4, r3, k.height, k.width] as const, data: found.core };
      const widen = { shape: [k.outputs, r4, 1, 1] as const, data: found.outer.data };
      const narrow = stage(place, place.x, reduce, "in");
      const middle = stage(place, narrow, core, "core", movesAlong(layer.geometry));
      return stage(place, middle, widen, "out", { last: true });
    },
  };
}

export const tuckerMethod: Method = {
  name: "tucker",
  refuses: ({ kernel }) =>
    tapsOf(kernel) > 1 ? null : "its window is a single position: take svd",
  full: ({ kernel: k }) => [
    Math.min(k.inputs, k.outputs * tapsOf(k)),
    Math.min(k.outputs, k.inputs * tapsOf(k)),
  ],
  cost: ({ kernel: k, inPositions, outPositions }, [r3, r4]) => {
    const first = k.inputs * r3!;
    const rest = tapsOf(k) * r3! * r4! + k.outputs * r4!;
    return { params: first + rest, macs: inPositions * first + outPositions * rest };
  },
  factor,
  evident: ({ kernel }) => [
    evbmf(inputUnfolding(kernel)).rank,
    evbmf(outputUnfolding(kernel)).rank,
  ],
};
