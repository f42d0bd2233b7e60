/** @file ONNX matrix products. */
import type { Value } from "../../../graph/graph.ts";
import { broadcast } from "../../../tensor/shape.ts";
import {
  type Importer,
  type ImportTable,
  malformed,
  type OpContext,
  unsupported,
} from "../context.ts";
import { core } from "../core.ts";
import { num } from "../emit.ts";

/** The product of two operands of any rank, as numpy.matmul defines it. */
export function matmul(c: OpContext, a: Value, b: Value): Value {
  const { e } = c;
  const ra = e.rank(a);
  const rb = e.rank(b);
  if (ra === 0 || rb === 0) throw malformed("a scalar has no matrix product");
  // Two constants are factors of a weight.
  if (rb === 2 && ra >= 2 && e.isReal(a) && e.isConstant(b) && !e.isConstant(a)) {
    return e.apply(core.linear, [a, e.transposedWeights(b)], {});
  }
  const left = ra === 1 ? e.unsqueeze(a, [0]) : a;
  const right = rb === 1 ? e.unsqueeze(b, [1]) : b;
  const y = e.matmul(left, right);
  const shape = [...e.shape(y)];
  if (rb === 1) shape.pop();
  if (ra === 1) shape.splice(shape.length - (rb === 1 ? 1 : 2), 1);
  return e.reshape(y, shape);
}

/** alpha * a * b + beta * bias. */
const gemm: Importer = (c) => {
  const { e } = c;
  const transA = c.attrs.flag("transA", false);
  const transB = c.attrs.flag("transB", false);
  const alpha = c.attrs.float("alpha", 1);
  const beta = c.attrs.float("beta", 1);
  const a = transA ? e.swapLast(c.in(0)) : c.in(0);
  const b = c.in(1);
  const given = c.optional(2);
  const bias = given === undefined || beta === 1 ? given : e.mul(given, num(beta));
  const asLinear = e.isReal(a) && (transB || e.isConstant(b));
  if (!asLinear) {
    const product = e.matmul(a, transB ? e.swapLast(b) : b);
    return plus(c, alpha === 1 ? product : e.mul(product, num(alpha)), bias);
  }
  const w = transB ? b : e.transposedWeights(b);
  const scaled = alpha !== 1 && e.isConstant(w) ? e.mul(w, num(alpha)) : w;
  const late = alpha !== 1 && scaled === w;
  const n = e.shape(w)[0]!;
  const row = bias === undefined || late ? undefined : rowOf(c, bias, n);
  const y = e.apply(core.linear, row === undefined ? [a, scaled] : [a, scaled, row], {});
  if (row !== undefined) return y;
  return plus(c, late ? e.mul(y, num(alpha)) : y, bias);
};

const plus = (c: OpContext, y: Value, bias: Value | undefined): Value =>
  bias === undefined ? y : c.e.add(y, bias);

/** The bias as a vector of n, when it is the same for every row. */
function rowOf(c: OpContext, bias: Value, n: number): Value | undefined {
  const shape = c.e.shape(bias);
  if (shape.slice(0, -1).some((d) => d !== 1) || shape.length > 2) return undefined;
  if (shape.at(-1) === n) return c.e.reshape(bias, [n]);
  return undefined;
}

const SPELLED = /^([a-zA-Z]*(?:\.\.\.)?[a-zA-Z]*)$/;

/** Subscripts of one einsum operand with "..." spelled out by upper case letters from the end. */
function spell(term: string, rank: number): string[] {
  if (!SPELLED.test(term)) throw malformed(`einsum term '${term}'`);
  const [before, after] = term.split("...");
  if (after === undefined) return [...(before ?? "")];
  const extra = rank - before!.length - after.length;
  const dots = Array.from({ length: extra }, (_, i) => `.${extra - i}`);
  return [...before!, ...dots, ...after];
}

/** The diagonal of every repeated label, so that each label occurs once. */
function diagonals(c: OpContext, x: Value, labels: readonly string[]): [Value, string[]] {
  const { e } = c;
  let value = x;
  const left = [...labels];
  for (let i = 0; i < left.length; i++) {
    for (let j = left.length - 1; j > i; j--) {
      if (left[i] !== left[j]) continue;
      const rest = left.map((_, k) => k).filter((k) => k !== i && k !== j);
      const moved = e.transpose(value, [i, j, ...rest]);
      const [n, , ...others] = e.shape(moved);
      const flat = e.reshape(moved, [n! * n!, ...others]);
      const at = Array.from({ length: n! }, (_, k) => k * (n! + 1));
      const diagonal = e.apply(core.gather, [flat, e.vector("i64", at)], { axis: 0 });
      const back = rest.filter((k) => k < i).length;
      const order = [...others.keys()].map((k) => k + 1);
      order.splice(back, 0, 0);
      value = e.transpose(diagonal, order);
      left.splice(j, 1);
    }
  }
  return [value, left];
}

/** Einsum as products over broadcast axes, each contracted as soon as its label is not needed again. */
const einsum: Importer = (c) => {
  const { e } = c;
  const equation = c.attrs.string("equation", "").replaceAll(" ", "");
  const [left, right] = equation.split("->");
  const terms = left!.split(",");
  const operands = c.all();
  if (terms.length !== operands.length) throw malformed(`einsum '${equation}' and its operands`);
  const spelled = terms.map((t, i) => spell(t, e.rank(operands[i]!)));
  const out = right === undefined ? implicitOutput(spelled) : spell(right, widest(spelled, right));
  let [value, labels] = diagonals(c, operands[0]!, spelled[0]!);
  for (let i = 1; i < operands.length; i++) {
    const [next, more] = diagonals(c, operands[i]!, spelled[i]!);
    const needed = new Set([...out, ...spelled.slice(i + 1).flat()]);
    [value, labels] = contract(c, [value, labels], [next, more], needed);
  }
  const spare = labels.flatMap((l, i) => (out.includes(l) ? [] : [i]));
  if (spare.length > 0) {
    value = e.sum(value, spare, false);
    labels = labels.filter((l) => out.includes(l));
  }
  if (out.some((l) => !labels.includes(l))) throw unsupported(`einsum '${equation}'`);
  return e.transpose(
    value,
    out.map((l) => labels.indexOf(l)),
  );
};

const widest = (spelled: readonly (readonly string[])[], right: string): number => {
  const dots = Math.max(...spelled.map((s) => s.filter((l) => l.startsWith(".")).length));
  return right.replace("...", "").length + (right.includes("...") ? dots : 0);
};

function implicitOutput(spelled: readonly (readonly string[])[]): string[] {
  const all = spelled.flat();
  const dots = [...new Set(all.filter((l) => l.startsWith(".")))].sort().reverse();
  const once = all.filter((l) => !l.startsWith(".") && all.indexOf(l) === all.lastIndexOf(l));
  return [...dots, ...once.sort()];
}

type Term = readonly [Value, readonly string[]];

/** The product of two terms with the labels nobody needs summed, as one batched matrix product. */
function contract(c: OpContext, a: Term, b: Term, needed: ReadonlySet<string>): [Value, string[]] {
  const { e } = c;
  const shared = a[1].filter((l) => b[1].includes(l));
  const summed = shared.filter((l) => !needed.has(l));
  const batch = shared.filter((l) => needed.has(l));
  const rows = a[1].filter((l) => !shared.includes(l));
  const columns = b[1].filter((l) => !shared.includes(l));
  const arrange = (t: Term, order: readonly string[]): [Value, number[]] => {
    const moved = e.transpose(
      t[0],
      order.map((l) => t[1].indexOf(l)),
    );
    return [moved, [...e.shape(moved)]];
  };
  const [x, xs] = arrange(a, [...batch, ...rows, ...summed]);
  const [y, ys] = arrange(b, [...batch, ...summed, ...columns]);
  const size = (dims: readonly number[]): number => dims.reduce((p, q) => p * q, 1);
  const nb = batch.length;
  const rowDims = xs.slice(nb, nb + rows.length);
  const columnDims = ys.slice(nb + summed.length);
  const batchDims = broadcast(xs.slice(0, nb), ys.slice(0, nb));
  if (batchDims === null) throw malformed("einsum operands do not fit");
  const k = size(xs.slice(nb + rows.length));
  const product = e.matmul(
    e.reshape(x, [...xs.slice(0, nb), size(rowDims), k]),
    e.reshape(y, [...ys.slice(0, nb), k, size(columnDims)]),
  );
  return [
    e.reshape(product, [...batchDims, ...rowDims, ...columnDims]),
    [...batch, ...rows, ...columns],
  ];
}

/** The determinant by Laplace expansion along the first row; matrices up to 4 by 4. */
const det: Importer = (c) => {
  const { e } = c;
  const x = c.in(0);
  const n = e.shape(x).at(-1) ?? 0;
  if (n === 0 || e.shape(x).at(-2) !== n) throw malformed("Det takes square matrices");
  if (n > 4) throw unsupported(`the determinant of ${n} by ${n} matrices`);
  const rank = e.rank(x);
  const batch = e.shape(x).slice(0, -2);
  const at = (i: number, j: number): Value =>
    e.reshape(e.sliceAxis(e.sliceAxis(x, rank - 2, i, i + 1), rank - 1, j, j + 1), batch);
  const minor = (row: number, columns: readonly number[]): Value => {
    if (columns.length === 1) return at(row, columns[0]!);
    return columns
      .map((j, k) => {
        const rest = columns.filter((other) => other !== j);
        const term = e.mul(at(row, j), minor(row + 1, rest));
        return k % 2 === 0 ? term : e.unary(core.neg, term);
      })
      .reduce((p, q) => e.add(p, q));
  };
  return minor(
    0,
    Array.from({ length: n }, (_, i) => i),
  );
};

export const matrixImports: ImportTable = {
  MatMul: (c) => matmul(c, c.in(0), c.in(1)),
  Gemm: gemm,
  Einsum: einsum,
  Det: det,
};
