/**
 * @file Canonical polyadic factors by alternating least squares (Lebedev et al., arXiv:1412.6553): 1 x 1 to r
 * channels, k x 1 and 1 x k each channel by itself, 1 x 1 back.
 */
import { makeRng } from "../../util/rng.ts";
import { evbmf } from "./evbmf.ts";
import type { Kernel, Layer } from "./layer.ts";
import {
  leftVectors,
  type Mat,
  matOf,
  multiply,
  solveGram,
  squaredNorm,
  transposed,
} from "./linear-algebra.ts";
import type { Factors, Method } from "./method.ts";
import { movesAlong, stage } from "./stages.ts";
import { inputUnfolding, outputUnfolding } from "./tucker.ts";

export interface Canonical {
  /** [outputs, rank], [inputs, rank], [height, rank], [width, rank]; columns of one rank have one norm. */
  readonly factors: readonly [Mat, Mat, Mat, Mat];
  /** Squared errors after each sweep; they never rise but for rounding. */
  readonly errors: readonly number[];
}

const SWEEPS = 60;
/** Of the squared norm: a sweep that gains less ends the iteration. */
const ENOUGH = 1e-5;
const SEED = 1;

/** Leading left vectors; what is missing up to the rank is drawn. */
function start(unfolding: Mat, rank: number, seed: number): Mat {
  const { vectors } = leftVectors(unfolding);
  const rng = makeRng(seed);
  const out = matOf(unfolding.rows, rank);
  for (let r = 0; r < rank; r++)
    for (let i = 0; i < out.rows; i++)
      out.data[i * rank + r] =
        r < vectors.cols ? vectors.data[i * vectors.cols + r]! : rng.normal();
  return out;
}

/** Element by element products of all pairs of rows: [a.rows * b.rows, rank]. */
function pairs(a: Mat, b: Mat): Mat {
  const out = matOf(a.rows * b.rows, a.cols);
  for (let i = 0; i < a.rows; i++)
    for (let j = 0; j < b.rows; j++)
      for (let r = 0; r < a.cols; r++)
        out.data[(i * b.rows + j) * a.cols + r] = a.data[i * a.cols + r]! * b.data[j * a.cols + r]!;
  return out;
}

const gram = (a: Mat): Mat => multiply(transposed(a), a);

const hadamard = (...all: readonly Mat[]): Mat =>
  all.reduce((a, b) =>
    matOf(
      a.rows,
      a.cols,
      a.data.map((x, i) => x * b.data[i]!),
    ),
  );

const inner = (a: Mat, b: Mat): number => a.data.reduce((sum, x, i) => sum + x * b.data[i]!, 0);

/** Sums out[i] += x[i, j] * b[j] of rows, for a [rows of out, rows of b] matrix of rows of length rank. */
function gather(seen: Mat, other: Mat, byFirst: boolean, rows: number): Mat {
  const rank = other.cols;
  const out = matOf(rows, rank);
  const many = other.rows;
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < many; j++) {
      const from = (byFirst ? i * many + j : j * rows + i) * rank;
      for (let r = 0; r < rank; r++)
        out.data[i * rank + r]! += seen.data[from + r]! * other.data[j * rank + r]!;
    }
  return out;
}

/** Rows and columns of a kernel summed over outputs and inputs: [height * width, rank]. */
function taps(k: Kernel, a: Mat, b: Mat): Mat {
  const rank = a.cols;
  const many = k.height * k.width;
  const out = matOf(many, rank);
  const both = new Float64Array(rank);
  for (let t = 0; t < k.outputs; t++)
    for (let s = 0; s < k.inputs; s++) {
      for (let r = 0; r < rank; r++) both[r] = a.data[t * rank + r]! * b.data[s * rank + r]!;
      for (let p = 0; p < many; p++) {
        const x = k.data[(t * k.inputs + s) * many + p]!;
        for (let r = 0; r < rank; r++) out.data[p * rank + r]! += x * both[r]!;
      }
    }
  return out;
}

/** Gives the columns of one rank the same norm in every factor; the product stays. */
function balance(factors: readonly Mat[]): void {
  const rank = factors[0]!.cols;
  for (let r = 0; r < rank; r++) {
    const norms = factors.map((f) => {
      let sum = 0;
      for (let i = 0; i < f.rows; i++) sum += f.data[i * rank + r]! ** 2;
      return Math.sqrt(sum);
    });
    const mean = norms.reduce((a, b) => a * b, 1) ** (1 / factors.length);
    factors.forEach((f, n) => {
      const scale = norms[n] === 0 ? 0 : mean / norms[n]!;
      for (let i = 0; i < f.rows; i++) f.data[i * rank + r]! *= scale;
    });
  }
}

/** Factors of a kernel. */
export function canonical(k: Kernel, rank: number, sweeps = SWEEPS): Canonical {
  const cells = matOf(k.outputs * k.inputs, k.height * k.width, k.data);
  let a = start(outputUnfolding(k), rank, SEED);
  let b = start(inputUnfolding(k), rank, SEED + 1);
  const positions = transposed(cells);
  const byRow = matOf(k.height, k.width * cells.rows, positions.data);
  let c = start(byRow, rank, SEED + 2);
  let d = start(columnUnfolding(k), rank, SEED + 3);
  const total = squaredNorm(k.data);
  const errors: number[] = [];
  for (let i = 0; i < sweeps; i++) {
    const seen = multiply(cells, pairs(c, d));
    const window = hadamard(gram(c), gram(d));
    a = solveGram(hadamard(gram(b), window), gather(seen, b, true, k.outputs));
    b = solveGram(hadamard(gram(a), window), gather(seen, a, false, k.inputs));
    const channels = hadamard(gram(a), gram(b));
    const over = taps(k, a, b);
    c = solveGram(hadamard(channels, gram(d)), gather(over, d, true, k.height));
    const last = gather(over, c, false, k.width);
    d = solveGram(hadamard(channels, gram(c)), last);
    const [fitted, size] = [inner(last, d), hadamard(channels, gram(c), gram(d)).data];
    balance([a, b, c, d]);
    errors.push(Math.max(0, total - 2 * fitted + size.reduce((sum, x) => sum + x, 0)));
    const gain = (errors.at(-2) ?? Number.POSITIVE_INFINITY) - errors.at(-1)!;
    if (gain < ENOUGH * total) break;
  }
  return { factors: [a, b, c, d], errors };
}

/** [width, the rest]. */
function columnUnfolding(k: Kernel): Mat {
  const rows = k.data.length / k.width;
  return transposed(matOf(rows, k.width, k.data));
}

/** [outputs, inputs, height, width] of the factors. */
export const canonicalDense = ([a, b, c, d]: Canonical["factors"]): Float64Array =>
  multiply(pairs(a, b), transposed(pairs(c, d))).data;

function factor(layer: Layer, ranks: readonly number[]): Factors {
  const [rank] = ranks as [number];
  const k = layer.kernel;
  const { factors } = canonical(k, rank);
  const [a, b, c, d] = factors;
  return {
    ranks,
    dense: canonicalDense(factors),
    build: (place) => {
      const { geometry } = layer;
      const groups = rank;
      const first = { shape: [rank, k.inputs, 1, 1] as const, data: transposed(b).data };
      const tall = { shape: [rank, 1, k.height, 1] as const, data: transposed(c).data };
      const flat = { shape: [rank, 1, 1, k.width] as const, data: transposed(d).data };
      const back = { shape: [k.outputs, rank, 1, 1] as const, data: a.data };
      const narrow = stage(place, place.x, first, "in");
      const rows = stage(place, narrow, tall, "rows", { ...movesAlong(geometry, [0]), groups });
      const cols = stage(place, rows, flat, "columns", { ...movesAlong(geometry, [1]), groups });
      return stage(place, cols, back, "out", { last: true });
    },
  };
}

const sides = (k: Kernel): number => k.outputs + k.inputs + k.height + k.width;

export const cpMethod: Method = {
  name: "cp",
  refuses: ({ kernel: k }) =>
    k.height * k.width > 1 ? null : "its window is a single position: take svd",
  // As many as have the parameters of the kernel.
  full: ({ kernel: k }) => [Math.max(1, Math.floor(k.data.length / sides(k)))],
  cost: ({ kernel: k, inPositions, midPositions, outPositions }, [rank]) => ({
    params: rank! * sides(k),
    macs:
      rank! *
      (inPositions * k.inputs + midPositions * k.height + outPositions * (k.width + k.outputs)),
  }),
  factor,
  evident: ({ kernel }) => [
    Math.max(evbmf(inputUnfolding(kernel)).rank, evbmf(outputUnfolding(kernel)).rank),
  ],
};
