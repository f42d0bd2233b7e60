/** @file Dense matrices in double precision: products, singular values, least squares. The one user of ml-matrix. */
import { CholeskyDecomposition, EigenvalueDecomposition, LU, Matrix, SVD } from "ml-matrix";

/** Row-major. */
export interface Mat {
  readonly rows: number;
  readonly cols: number;
  readonly data: Float64Array;
}

export const matOf = (
  rows: number,
  cols: number,
  data: Float64Array = new Float64Array(rows * cols),
): Mat => ({ rows, cols, data });

export function transposed({ rows, cols, data }: Mat): Mat {
  const out = new Float64Array(rows * cols);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < cols; j++) out[j * rows + i] = data[i * cols + j]!;
  }
  return matOf(cols, rows, out);
}

/** a times b. */
export function multiply(a: Mat, b: Mat): Mat {
  const out = matOf(a.rows, b.cols);
  for (let i = 0; i < a.rows; i++) {
    const to = i * b.cols;
    for (let k = 0; k < a.cols; k++) {
      const x = a.data[i * a.cols + k]!;
      const from = k * b.cols;
      for (let j = 0; j < b.cols; j++) out.data[to + j]! += x * b.data[from + j]!;
    }
  }
  return out;
}

/** The first `count` columns. */
export function columns(a: Mat, count: number): Mat {
  const out = matOf(a.rows, count);
  for (let i = 0; i < a.rows; i++) {
    out.data.set(a.data.subarray(i * a.cols, i * a.cols + count), i * count);
  }
  return out;
}

export const squaredNorm = (data: Float64Array): number => data.reduce((sum, x) => sum + x * x, 0);

const toMatrix = (a: Mat): Matrix => Matrix.from1DArray(a.rows, a.cols, a.data);
const fromMatrix = (m: Matrix): Mat => matOf(m.rows, m.columns, Float64Array.from(m.to1DArray()));

export interface Svd {
  /** Orthonormal columns, `s.length` of them. */
  readonly u: Mat;
  /** Falling. */
  readonly s: readonly number[];
  /** Orthonormal columns: a = u diag(s) v^T. */
  readonly v: Mat;
}

/** The thin singular value decomposition. */
export function svd(a: Mat): Svd {
  const found = new SVD(toMatrix(a), { autoTranspose: true });
  const count = Math.min(a.rows, a.cols);
  return {
    u: columns(fromMatrix(found.leftSingularVectors), count),
    s: found.diagonal.slice(0, count),
    v: columns(fromMatrix(found.rightSingularVectors), count),
  };
}

export interface LeftVectors {
  /** Orthonormal columns: all left singular vectors. */
  readonly vectors: Mat;
  /** Squared singular values, falling; to about 1e-16 of the largest. */
  readonly squares: readonly number[];
}

/** Left singular vectors as eigenvectors of a a^T: much less work for wide matrices. */
export function leftVectors(a: Mat): LeftVectors {
  const gram = toMatrix(multiply(a, transposed(a)));
  const { realEigenvalues, eigenvectorMatrix } = new EigenvalueDecomposition(gram, {
    assumeSymmetric: true,
  });
  const order = realEigenvalues
    .map((_, i) => i)
    .sort((i, j) => realEigenvalues[j]! - realEigenvalues[i]!);
  const vectors = matOf(a.rows, a.rows);
  order.forEach((from, to) => {
    for (let i = 0; i < a.rows; i++) vectors.data[i * a.rows + to] = eigenvectorMatrix.get(i, from);
  });
  return { vectors, squares: order.map((i) => Math.max(0, realEigenvalues[i]!)) };
}

/** x of x g = b, for symmetric g that is positive but for rounding: a ridge of 1e-12 of its mean diagonal is added. */
export function solveGram(g: Mat, b: Mat): Mat {
  const m = toMatrix(g);
  let trace = 0;
  for (let i = 0; i < g.rows; i++) trace += m.get(i, i);
  const ridge = (1e-12 * trace) / g.rows;
  for (let i = 0; i < g.rows; i++) m.set(i, i, m.get(i, i) + ridge);
  const right = toMatrix(transposed(b));
  const cholesky = new CholeskyDecomposition(m);
  const x = cholesky.isPositiveDefinite() ? cholesky.solve(right) : new LU(m).solve(right);
  return transposed(fromMatrix(x));
}

/** The lower triangle l of l l^T = a + ridge, for symmetric a that is positive but for rounding. */
export function choleskyOf(a: Mat, ridge: number): Mat {
  const m = toMatrix(a);
  for (let i = 0; i < a.rows; i++) m.set(i, i, m.get(i, i) + ridge);
  return fromMatrix(new CholeskyDecomposition(m).lowerTriangularMatrix);
}

/** x of l^T x = b, for a lower triangle l without zeros on the diagonal. */
export function solveTransposed(l: Mat, b: Mat): Mat {
  const x = matOf(b.rows, b.cols, b.data.slice());
  for (let i = l.rows - 1; i >= 0; i--) {
    for (let c = 0; c < b.cols; c++) {
      let sum = x.data[i * b.cols + c]!;
      for (let k = i + 1; k < l.rows; k++) {
        sum -= l.data[k * l.cols + i]! * x.data[k * b.cols + c]!;
      }
      x.data[i * b.cols + c] = sum / l.data[i * l.cols + i]!;
    }
  }
  return x;
}
