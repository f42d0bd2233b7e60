/**
 * @file The matrices of Winograd convolution F(m x m, 3 x 3) in f32 (arXiv:1509.09308; points 0, 1, -1 and for
 * m = 4 also 2, -2), and code that applies a small constant matrix to vectors with few operations.
 */
import { add, constant, fma, mul, sub } from "../../kernel/build.ts";
import type { Expr } from "../../kernel/ir.ts";

export type Matrix = readonly (readonly number[])[];

/** Outputs of a tile in one dimension and the matrices for input, weights and output. */
export interface Transforms {
  readonly outputs: number;
  /** Inputs that a tile reads in one dimension; also its points. */
  readonly span: number;
  readonly input: Matrix;
  readonly weights: Matrix;
  readonly output: Matrix;
}

export const F2: Transforms = {
  outputs: 2,
  span: 4,
  input: [
    [1, 0, -1, 0],
    [0, 1, 1, 0],
    [0, -1, 1, 0],
    [0, -1, 0, 1],
  ],
  weights: [
    [1, 0, 0],
    [0.5, 0.5, 0.5],
    [0.5, -0.5, 0.5],
    [0, 0, 1],
  ],
  output: [
    [1, 1, 1, 0],
    [0, 1, -1, 1],
  ],
};

export const F4: Transforms = {
  outputs: 4,
  span: 6,
  input: [
    [4, 0, -5, 0, 1, 0],
    [0, -4, -4, 1, 1, 0],
    [0, 4, -4, -1, 1, 0],
    [0, -2, -1, 2, 1, 0],
    [0, 2, -1, -2, 1, 0],
    [0, 4, 0, -5, 0, 1],
  ],
  weights: [
    [1 / 4, 0, 0],
    [-1 / 6, -1 / 6, -1 / 6],
    [-1 / 6, 1 / 6, -1 / 6],
    [1 / 24, 1 / 12, 1 / 6],
    [1 / 24, -1 / 12, 1 / 6],
    [0, 0, 1],
  ],
  output: [
    [1, 1, 1, 1, 1, 0],
    [0, 1, -1, 2, -2, 0],
    [0, 1, 1, 4, 4, 0],
    [0, 1, -1, 8, -8, 1],
  ],
};

export type Name = (hint: string, value: Expr) => Expr;

interface Product {
  readonly factor: number;
  readonly x: Expr;
}

/** a * b + c: fused where the engine can, or the same on every engine. */
type Multiply = (a: Expr, b: Expr, c: Expr) => Expr;

export const UNFUSED: Multiply = (a, b, c) => add(mul(a, b), c);

/** The sum of products; a common factor is taken out. Null when there is nothing to add. */
function sumOf(products: readonly Product[], multiply: Multiply): Expr | null {
  const terms = products.filter((p) => p.factor !== 0);
  if (terms.length === 0) return null;
  const size = Math.abs(terms[0]!.factor);
  if (size !== 1 && terms.length > 1 && terms.every((p) => Math.abs(p.factor) === size)) {
    const inner = sumOf(
      terms.map((p) => ({ ...p, factor: Math.sign(p.factor) })),
      multiply,
    )!;
    return mul(inner, constant(inner.type, size));
  }
  const first = terms.find((p) => p.factor === 1) ?? terms[0]!;
  const start = first.factor === 1 ? first.x : mul(first.x, constant(first.x.type, first.factor));
  return terms.reduce((sum, { factor, x }) => {
    if (x === first.x) return sum;
    if (factor === 1) return add(sum, x);
    if (factor === -1) return sub(sum, x);
    return multiply(x, constant(x.type, factor), sum);
  }, start);
}

/** Columns j and j + 1 that are equal up to sign in every row, in both ways: their sum and difference serve. */
function pairColumns(m: Matrix, xs: readonly Expr[], name: Name): readonly [Matrix, Expr[]] {
  const rows = m.map((row) => [...row]);
  const values = [...xs];
  for (let j = 0; j + 1 < xs.length; j++) {
    const [same, opposite] = [1, -1].map((s) =>
      m.some((r) => r[j] !== 0 && r[j + 1] === s * r[j]!),
    );
    const paired = m.every((r) => Math.abs(r[j]!) === Math.abs(r[j + 1]!));
    if (!paired || !same || !opposite) continue;
    values[j] = name("s", add(xs[j]!, xs[j + 1]!));
    values[j + 1] = name("d", sub(xs[j]!, xs[j + 1]!));
    m.forEach((r, i) => {
      const equal = r[j] === r[j + 1];
      rows[i]![j] = equal ? r[j]! : 0;
      rows[i]![j + 1] = equal ? 0 : r[j]!;
    });
    j++;
  }
  return [rows, values];
}

/** The matrix times the vector. Rows that differ in signs only share the two halves of their sums. */
export function applyMatrix(
  matrix: Matrix,
  xs: readonly Expr[],
  name: Name,
  multiply: Multiply = fma,
): Expr[] {
  const [m, values] = pairColumns(matrix, xs, name);
  const out: Expr[] = [];
  for (let i = 0; i < m.length; i++) {
    const row = m[i]!;
    const next = m[i + 1];
    const products = row.map((factor, j) => ({ factor, x: values[j]! }));
    const mirrored = next?.every((c, j) => Math.abs(c) === Math.abs(row[j]!)) === true;
    const same = sumOf(
      products.filter((_, j) => mirrored && next[j] === row[j]),
      multiply,
    );
    const opposite = sumOf(
      products.filter((_, j) => mirrored && next[j] !== row[j]),
      multiply,
    );
    if (same === null || opposite === null) {
      out.push(sumOf(products, multiply)!);
      continue;
    }
    const [even, odd] = [name("e", same), name("o", opposite)];
    out.push(add(even, odd), sub(even, odd));
    i++;
  }
  return out;
}
