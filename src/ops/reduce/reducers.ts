/** @file What each reduction computes: on a list of numbers (the oracle) and as folds in kernel IR. */
import {
  add,
  binary,
  call,
  cast,
  constant,
  type KernelBuilder,
  mul,
  select,
  sub,
  unary,
} from "../../kernel/build.ts";
import { type Expr, elemOf, isFloatElem, isVector } from "../../kernel/ir.ts";
import { DTYPES, type DType } from "../../tensor/dtype.ts";
import { type Fold, type Group, type Read, spread } from "./fold.ts";

/** What `emit` knows about the elements: how to read them, and how they are stored. */
export interface Source {
  readonly k: KernelBuilder;
  readonly read: Read;
  /** dtype of the reals or integers computed on. */
  readonly dtype: DType;
  readonly elem: Fold["elem"];
  /** Elements in a group. */
  readonly count: number;
}

export interface Reducer {
  /** Takes integers too (otherwise only floats). */
  readonly integers: boolean;
  readonly bool?: boolean;
  /** Integers are folded in 64 bits. */
  readonly wide?: boolean;
  real(xs: readonly number[]): number;
  /** Integers, exact; the result wraps when stored. `dtype` gives the identity of an extreme. */
  integer?(xs: readonly bigint[], dtype: DType): bigint;
  /** Emits the folds of one group and returns the result (a vector when the group has lanes). */
  emit(s: Source, group: Group): Expr;
}

const unsigned = (dtype: DType): boolean => DTYPES[dtype].kind === "uint";
const sumOf = (xs: readonly number[]): number => xs.reduce((a, b) => a + b, 0);
const bigSum = (xs: readonly bigint[]): bigint => xs.reduce((a, b) => a + b, 0n);
const zero = (e: Fold["elem"]): number | bigint => (e === "i64" ? 0n : 0);

function sumFold(s: Source, map: (x: Expr) => Expr = (x) => x): Fold {
  const read: Read = (index, type) => map(s.k.let("x", s.read(index, type)));
  return { op: "add", elem: s.elem, identity: zero(s.elem), read };
}

/** Range of a 64-bit dtype exactly. */
export const bigRange = (dtype: DType): readonly [bigint, bigint] => {
  if (dtype === "i64") return [-(1n << 63n), (1n << 63n) - 1n];
  if (dtype === "u64") return [0n, (1n << 64n) - 1n];
  return [BigInt(DTYPES[dtype].min), BigInt(DTYPES[dtype].max)];
};

export function extremeFold(s: Source, op: "max" | "min"): Fold {
  const wide = s.dtype === "u32" || s.dtype === "u64";
  const identity = (): number | bigint => {
    if (isFloatElem(s.elem))
      return op === "max" ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
    const bound = bigRange(s.dtype)[op === "max" ? 0 : 1];
    return s.elem === "i64" ? BigInt.asIntN(64, bound) : Number(BigInt.asIntN(32, bound));
  };
  return { op: wide ? `${op}_u` : op, elem: s.elem, identity: identity(), read: s.read };
}

const extreme = (op: "max" | "min"): Reducer => ({
  integers: true,
  bool: true,
  real: (xs) =>
    xs.reduce(
      (a, b) => Math[op](a, b),
      op === "max" ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY,
    ),
  integer: (xs, dtype) =>
    xs.reduce(
      (a, b) => ((op === "max" ? a > b : a < b) ? a : b),
      bigRange(dtype)[op === "max" ? 0 : 1],
    ),
  emit: (s, group) => group.fold(extremeFold(s, op)),
});

const square = (x: Expr): Expr => mul(x, x);
const log = (x: Expr): Expr => call("log", x);

/** log(sum(exp(x))) without overflow: the maximum is taken out first. */
function emitLogSumExp(s: Source, group: Group): Expr {
  const top = s.k.let("top", group.fold(extremeFold(s, "max")));
  const type = top.type;
  const finite = binary("lt", unary("abs", top), constant(type, Number.POSITIVE_INFINITY));
  const shift = s.k.let("shift", select(finite, top, constant(type, 0)));
  const read: Read = (index, t) => call("exp", sub(s.read(index, t), spread(shift, t)));
  return add(log(group.fold({ op: "add", elem: s.elem, identity: 0, read })), shift);
}

function realLogSumExp(xs: readonly number[]): number {
  const top = xs.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const shift = Number.isFinite(top) ? top : 0;
  return Math.log(sumOf(xs.map((x) => Math.exp(x - shift)))) + shift;
}

/** The mean of integers is their exact sum, divided with truncation; of nothing: 0. */
function emitMean(s: Source, group: Group): Expr {
  if (s.elem === "f32" || s.elem === "f64") {
    const total = group.fold(sumFold(s));
    return binary("div", total, constant(total.type, s.count));
  }
  const widen = (x: Expr): Expr =>
    s.elem === "i64" ? x : cast("i64", s.dtype === "u32" ? "extend_u" : "extend_s", x);
  const read: Read = (index) => widen(s.read(index, s.elem as "i32" | "i64"));
  const total = group.fold({ op: "add", elem: "i64", identity: 0n, read });
  const divisor = constant("i64", BigInt(Math.max(s.count, 1)));
  const mean = binary(s.dtype === "u64" ? "div_u" : "div", total, divisor);
  return s.elem === "i64" ? mean : cast("i32", "wrap", mean);
}

export const REDUCERS = {
  sum: {
    integers: true,
    real: sumOf,
    integer: bigSum,
    emit: (s, group) => group.fold(sumFold(s)),
  },
  mean: {
    integers: true,
    wide: true,
    real: (xs) => sumOf(xs) / xs.length,
    integer: (xs, dtype) => {
      const total = bigSum(xs);
      const wrapped = dtype === "u64" ? BigInt.asUintN(64, total) : BigInt.asIntN(64, total);
      return wrapped / BigInt(Math.max(xs.length, 1));
    },
    emit: emitMean,
  },
  max: extreme("max"),
  min: extreme("min"),
  prod: {
    integers: true,
    real: (xs) => xs.reduce((a, b) => a * b, 1),
    integer: (xs) => xs.reduce((a, b) => BigInt.asIntN(64, a * b), 1n),
    emit: (s, group) =>
      group.fold({ ...sumFold(s), op: "mul", identity: s.elem === "i64" ? 1n : 1 }),
  },
  l1: {
    integers: true,
    real: (xs) => sumOf(xs.map(Math.abs)),
    integer: (xs) => bigSum(xs.map((x) => (x < 0n ? -x : x))),
    emit: (s, group) => group.fold(sumFold(s, (x) => magnitude(s, x))),
  },
  l2: {
    integers: false,
    real: (xs) => Math.sqrt(sumOf(xs.map((x) => x * x))),
    emit: (s, group) => unary("sqrt", group.fold(sumFold(s, square))),
  },
  log_sum: {
    integers: false,
    real: (xs) => Math.log(sumOf(xs)),
    emit: (s, group) => log(group.fold(sumFold(s))),
  },
  log_sum_exp: { integers: false, real: realLogSumExp, emit: emitLogSumExp },
  sum_square: {
    integers: true,
    real: (xs) => sumOf(xs.map((x) => x * x)),
    integer: (xs) => bigSum(xs.map((x) => x * x)),
    emit: (s, group) => group.fold(sumFold(s, square)),
  },
} satisfies Record<string, Reducer>;

/** |x|; integer registers have no `abs`. */
function magnitude(s: Source, x: Expr): Expr {
  if (isFloatElem(s.elem)) return unary("abs", x);
  if (unsigned(s.dtype)) return x;
  const nought = constant(x.type, elemOf(x.type) === "i64" ? 0n : 0);
  const negative = sub(nought, x);
  return isVector(x.type)
    ? binary("max", x, negative)
    : select(binary("lt", x, nought), negative, x);
}
