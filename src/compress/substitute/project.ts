/**
 * @file The k x k convolution in groups followed by 1 x 1 that is nearest to a dense one. Weights of the inputs of one
 * group are a matrix [outputs, inputs of the group x window]; P G of rank r is nearest to it where P spans its first r
 * left singular vectors, and groups are independent, since each sees inputs of its own.
 */
import type { Kernel } from "../factorise/layer.ts";
import {
  choleskyOf,
  columns,
  leftVectors,
  type Mat,
  matOf,
  multiply,
  solveGram,
  transposed,
} from "../factorise/linear-algebra.ts";

/** W = point * window, summed over what is between. */
export interface Projection {
  /** [between, inputs of a group, height, width]. */
  readonly window: Float64Array;
  /** [outputs, between]. */
  readonly point: Mat;
  /** [outputs, inputs, height, width]. */
  readonly dense: Float64Array;
}

const RIDGE = 1e-6;
/** Of the first singular value: below it a direction holds nothing but rounding. */
const NOTHING = 1e-12;

/** A lower triangle of second moments; a little is added, for inputs that are always 0. */
export function rootOf(moments: Mat): Mat {
  let trace = 0;
  for (let i = 0; i < moments.rows; i++) trace += moments.data[i * moments.cols + i]!;
  return choleskyOf(moments, trace === 0 ? 1 : (RIDGE * trace) / moments.rows);
}

/** Rows times the root; a root of channels counts for every one of the taps. */
export function weighted(rows: Mat, root: Mat, taps = 1): Mat {
  const inputs = root.rows;
  const out = matOf(rows.rows, rows.cols);
  for (let r = 0; r < rows.rows; r++)
    for (let i = 0; i < inputs; i++)
      for (let t = 0; t < taps; t++) {
        const x = rows.data[r * rows.cols + i * taps + t]!;
        const to = r * rows.cols + t;
        for (let j = 0; j <= i; j++) out.data[to + j * taps]! += x * root.data[i * inputs + j]!;
      }
  return out;
}

const block = (m: Mat, first: number, size: number): Mat => {
  const out = matOf(size, size);
  for (let i = 0; i < size; i++)
    for (let j = 0; j < size; j++)
      out.data[i * size + j] = m.data[(first + i) * m.cols + first + j]!;
  return out;
};

/** Weights of inputs first..first+count-1: [outputs, count * taps]. */
function slice(k: Kernel, first: number, count: number): Mat {
  const taps = k.height * k.width;
  const out = matOf(k.outputs, count * taps);
  for (let o = 0; o < k.outputs; o++) {
    const from = (o * k.inputs + first) * taps;
    out.data.set(k.data.subarray(from, from + out.cols), o * out.cols);
  }
  return out;
}

/**
 * `rank` orthonormal columns that span most of `seen` and rows [rank, cols] with which they come nearest to `w`. Where
 * the rank is above that of the matrix, columns or rows are 0, not both, so that training can use them.
 */
function spanned(seen: Mat, w: Mat, rank: number): { readonly left: Mat; readonly right: Mat } {
  if (seen.rows <= seen.cols) {
    const left = columns(leftVectors(seen).vectors, rank);
    return { left, right: multiply(transposed(left), w) };
  }
  const v = columns(leftVectors(transposed(seen)).vectors, rank);
  const left = multiply(seen, v);
  const norms = Array.from({ length: rank }, (_, r) => norm(left, r));
  const least = NOTHING * Math.max(...norms);
  norms.forEach((n, r) => scale(left, r, n > least ? 1 / n : 0));
  const right = multiply(transposed(left), w);
  norms.forEach((n, r) => {
    if (n > least) return;
    for (let c = 0; c < right.cols; c++) right.data[r * right.cols + c] = v.data[c * rank + r]!;
  });
  return { left, right };
}

function norm(m: Mat, column: number): number {
  let sum = 0;
  for (let i = 0; i < m.rows; i++) sum += m.data[i * m.cols + column]! ** 2;
  return Math.sqrt(sum);
}

function scale(m: Mat, column: number, by: number): void {
  for (let i = 0; i < m.rows; i++) m.data[i * m.cols + column]! *= by;
}

/** Gives column r of the point and row r of the window the same norm; the product stays. */
function balance(point: Mat, window: Mat): void {
  for (let r = 0; r < point.cols; r++) {
    const row = window.data.subarray(r * window.cols, (r + 1) * window.cols);
    const [p, g] = [norm(point, r), Math.hypot(...row)];
    if (p === 0 || g === 0) continue;
    const by = Math.sqrt(g / p);
    scale(point, r, by);
    row.forEach((x, i) => {
      row[i] = x / by;
    });
  }
}

/** The window of all groups as one dense matrix [between, inputs * taps]. */
function spread(window: Mat, inputs: number, groups: number, taps: number): Mat {
  const each = window.rows / groups;
  const out = matOf(window.rows, inputs * taps);
  for (let r = 0; r < window.rows; r++) {
    const first = Math.floor(r / each) * window.cols;
    out.data.set(
      window.data.subarray(r * window.cols, (r + 1) * window.cols),
      r * out.cols + first,
    );
  }
  return out;
}

/**
 * The nearest weights of the form. `moments`, of the windows' values, [inputs * height * width] squared: the distance is
 * then that of results on such inputs. Spans are found group by group, as if groups did not correlate, and the 1 x 1 is
 * then the best for all of them together.
 */
export function projected(k: Kernel, groups: number, between: number, moments?: Mat): Projection {
  const taps = k.height * k.width;
  const count = k.inputs / groups;
  const each = between / groups;
  const window = matOf(between, count * taps);
  let point = matOf(k.outputs, between);
  for (let j = 0; j < groups; j++) {
    const w = slice(k, j * count, count);
    const seen =
      moments === undefined ? w : weighted(w, rootOf(block(moments, j * w.cols, w.cols)));
    const rank = Math.min(each, w.rows, w.cols);
    const { left, right } = spanned(seen, w, rank);
    // Channels beyond the rank see what others see, and nothing looks at them yet.
    for (let r = 0; r < each; r++) {
      const row = right.data.subarray((r % rank) * window.cols, ((r % rank) + 1) * window.cols);
      window.data.set(row, (j * each + r) * window.cols);
    }
    for (let o = 0; o < k.outputs; o++)
      for (let r = 0; r < rank; r++)
        point.data[o * between + j * each + r] = left.data[o * rank + r]!;
  }
  const whole = (): Mat => spread(window, k.inputs, groups, taps);
  if (moments !== undefined) point = refitted(k, whole(), rootOf(moments));
  balance(point, window);
  return { window: window.data, point, dense: multiply(point, whole()).data };
}

/** The best 1 x 1 behind a window. */
function refitted(k: Kernel, window: Mat, root: Mat): Mat {
  const seen = weighted(window, root);
  const want = weighted(matOf(k.outputs, window.cols, k.data), root);
  return solveGram(multiply(seen, transposed(seen)), multiply(want, transposed(seen)));
}
