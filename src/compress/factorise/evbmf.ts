/**
 * @file The rank of a matrix under noise: the global analytic solution of empirical variational Bayesian matrix
 * factorisation (Nakajima, Sugiyama, Babacan, Tomioka, JMLR 14, 2013), with the noise estimated.
 */
import { leftVectors, type Mat, transposed } from "./linear-algebra.ts";

export interface Evbmf {
  /** May be 0. */
  readonly rank: number;
  /** The estimated variance of the noise. */
  readonly noise: number;
}

const GOLDEN = (Math.sqrt(5) - 1) / 2;

/** Where a unimodal function is least between two places, to 1e-10 of their distance. */
function leastBetween(f: (x: number) => number, from: number, to: number): number {
  let [a, b] = [from, to];
  let [c, d] = [b - GOLDEN * (b - a), a + GOLDEN * (b - a)];
  let [fc, fd] = [f(c), f(d)];
  while (b - a > 1e-10 * (to - from)) {
    if (fc < fd) {
      [b, d, fd] = [d, c, fc];
      c = b - GOLDEN * (b - a);
      fc = f(c);
    } else {
      [a, c, fc] = [c, d, fd];
      d = a + GOLDEN * (b - a);
      fd = f(d);
    }
  }
  return (a + b) / 2;
}

/** The free energy by the variance of the noise, but for constants. */
function energyOf(squares: readonly number[], cols: number, alpha: number, limit: number) {
  const tau = (x: number): number => {
    const t = x - (1 + alpha);
    return (t + Math.sqrt(t * t - 4 * alpha)) / 2;
  };
  return (noise: number): number =>
    squares.reduce((sum, square) => {
      const x = square / (cols * noise);
      if (x <= limit) return sum + x - Math.log(x);
      const t = tau(x);
      return sum + x - t + Math.log((t + 1) / x) + alpha * Math.log(t / alpha + 1);
    }, 0);
}

/** The number of singular values that stand out from noise. */
export function evbmf(matrix: Mat): Evbmf {
  const wide = matrix.rows > matrix.cols ? transposed(matrix) : matrix;
  const { rows, cols } = wide;
  const { squares: found } = leftVectors(wide);
  const total = found.reduce((a, b) => a + b, 0);
  if (total === 0) return { rank: 0, noise: 0 };
  // Below this a square is rounding; the logarithm of zero would hide all else.
  const squares = found.map((s) => Math.max(s, 1e-16 * total));
  const alpha = rows / cols;
  const limit = (1 + 2.5129 * Math.sqrt(alpha)) * (1 + Math.sqrt(alpha) / 2.5129);
  const most = Math.min(Math.ceil(rows / (1 + alpha)) - 1, rows) - 1;
  const rest = squares.slice(most + 1);
  const upper = total / (rows * cols);
  const lower = Math.max(
    (rest[0] ?? 0) / (cols * limit),
    rest.reduce((a, b) => a + b, 0) / (Math.max(1, rest.length) * cols),
  );
  const noise = leastBetween(energyOf(squares, cols, alpha, limit), lower, upper);
  return { rank: squares.filter((s) => s > cols * noise * limit).length, noise };
}
