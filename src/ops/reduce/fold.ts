/**
 * @file The loops behind every reduction and softmax. A group is what one result is computed from: the
 * elements that differ along the reduced axes only. Groups along the innermost axis are walked in
 * vectors; groups along outer axes are computed several at a time, one lane a group.
 */
import { add, binary, constant, extract, type KernelBuilder, mul } from "../../kernel/build.ts";
import {
  type BinaryOp,
  type Elem,
  type Expr,
  isVector,
  type KType,
  lanesOf,
} from "../../kernel/ir.ts";
import { strides } from "../../tensor/shape.ts";
import type { Shape } from "../../tensor/tensor.ts";
import { range } from "../shape/check.ts";

/** Accumulators of one loop, to hide the latency of the operation. */
const UNROLL = 4;
/** Elements handled at once by vector code, whatever the element: f32x4, i32x4. */
const LANES = 4;

/** The value of the element at an input index (vector type: of it and its neighbours). */
export type Read = (index: Expr, type: KType) => Expr;

/** A commutative operation over the elements of a group. */
export interface Fold {
  readonly op: BinaryOp;
  readonly elem: Elem;
  readonly identity: number | bigint;
  /** Each element, mapped; must give the type it is asked for. */
  readonly read: Read;
  /** The elements take long to compute: one accumulator will do. */
  readonly slow?: boolean;
  /** Stands in for `op` where NaN may be passed over. */
  readonly combine?: (a: Expr, b: Expr) => Expr;
}

const combined = (f: Fold, a: Expr, b: Expr): Expr => f.combine?.(a, b) ?? binary(f.op, a, b);

/** One group, or several neighbouring ones side by side in the lanes of a vector. */
export interface Group {
  /** Index of the (first) result. */
  readonly out: Expr;
  /** Groups side by side. */
  readonly lanes: number;
  /** Emits the fold and returns its register: `elem`, or a vector of it when lanes > 1. */
  fold(f: Fold): Expr;
  /** Loops over the elements; each visit covers the index and, for a vector type, its neighbours. */
  each(visit: (index: Expr, type: (elem: Elem) => KType) => void): void;
}

interface Axis {
  readonly n: number;
  /** Steps in elements of the input and of the result. */
  readonly step: number;
  readonly out: number;
  readonly kept: boolean;
}

/** Neighbouring axes of the same fate become one; extents of 1 go. */
function mergedAxes(shape: Shape, reduced: readonly number[]): Axis[] {
  const axes: Axis[] = [];
  const step = strides(shape);
  let out = 1;
  for (const i of range(shape.length).reverse()) {
    const n = shape[i]!;
    if (n === 1) continue;
    const kept = !reduced.includes(i);
    const inner = axes[0];
    if (inner?.kept === kept) axes[0] = { ...inner, n: inner.n * n };
    else axes.unshift({ n, step: step[i]!, out, kept });
    if (kept) out *= n;
  }
  return axes;
}

/** Loops over axes; `body` gets the input index. */
function loops(k: KernelBuilder, axes: readonly Axis[], at: Expr, body: (at: Expr) => void): void {
  const [axis, ...rest] = axes;
  if (axis === undefined) body(at);
  else {
    k.for("r", 0, axis.n, (i) => loops(k, rest, k.let("row", add(at, mul(i, axis.step))), body));
  }
}

/** The register type of one element, or of several side by side. */
export const typeOf = (elem: Elem, lanes: number): KType =>
  lanes === 1 ? (elem as KType) : `${elem}x${lanes}`;

const accumulate = (k: KernelBuilder, f: Fold, acc: Expr, index: Expr): void =>
  k.set(acc, combined(f, acc, k.let("x", f.read(index, acc.type))));

/** Folds the lanes of a vector from left to right. */
function foldLanes(k: KernelBuilder, f: Fold, v: Expr): Expr {
  const named = k.let("v", v);
  return range(lanesOf(v.type))
    .map((lane) => k.let("lane", extract(named, lane)))
    .reduce((a, b) => k.let("folded", combined(f, a, b)));
}

/** A group that lies along the innermost axis (or is one element): vectors run inside it. */
function rowGroup(
  k: KernelBuilder,
  axes: readonly Axis[],
  at: Expr,
  out: Expr,
  vector: boolean,
): Group {
  const n = axes.at(-1)?.n ?? 1;
  const outer = axes.slice(0, -1);
  const whole = vector ? n - (n % LANES) : 0;
  const fold = (f: Fold): Expr => {
    const total = k.reg("acc", constant(typeOf(f.elem, 1), f.identity));
    const block = n >= LANES * UNROLL && f.slow !== true ? LANES * UNROLL : LANES;
    const blocks = whole - (whole % block);
    const wide = constant(typeOf(f.elem, LANES), f.identity);
    const accs = range(whole > 0 ? block / LANES : 0).map(() => k.reg("part", wide));
    const unrolled = (at: Expr): void => {
      for (const [u, acc] of accs.entries()) accumulate(k, f, acc, add(at, u * LANES));
    };
    loops(k, outer, at, (row) => {
      k.for("i", 0, blocks, (i) => unrolled(k.let("at", add(row, i))), { step: block });
      k.for("i", blocks, whole, (i) => accumulate(k, f, accs[0]!, add(row, i)), { step: LANES });
      k.for("i", whole, n, (i) => accumulate(k, f, total, add(row, i)));
    });
    if (accs.length > 0) {
      const parts = accs.reduce((a, b) => k.let("parts", combined(f, a, b)));
      k.set(total, combined(f, total, foldLanes(k, f, parts)));
    }
    return total;
  };
  const each: Group["each"] = (visit) =>
    loops(k, outer, at, (row) => {
      const go = (lanes: number) => (i: Expr) =>
        visit(k.let("at", add(row, i)), (elem) => typeOf(elem, lanes));
      k.for("i", 0, whole, go(LANES), { step: LANES });
      k.for("i", whole, n, go(1));
    });
  return { out, lanes: 1, fold, each };
}

/** Neighbouring groups along outer axes, one a lane. */
function columnGroup(
  k: KernelBuilder,
  axes: readonly Axis[],
  at: Expr,
  out: Expr,
  lanes: number,
): Group {
  return {
    out,
    lanes,
    fold: (f) => {
      const acc = k.reg("acc", constant(typeOf(f.elem, lanes), f.identity));
      loops(k, axes, at, (row) => accumulate(k, f, acc, row));
      return acc;
    },
    each: (visit) => loops(k, axes, at, (row) => visit(row, (elem) => typeOf(elem, lanes))),
  };
}

/** Emits the loops over all groups of a tensor; `vector`: reads may ask for four elements at once. */
export function forEachGroup(
  k: KernelBuilder,
  shape: Shape,
  reduced: readonly number[],
  vector: boolean,
  body: (group: Group) => void,
): void {
  const axes = mergedAxes(shape, reduced);
  const folded = axes.filter((a) => !a.kept);
  const kept = axes.filter((a) => a.kept);
  const columns = folded.length > 0 && axes.at(-1)?.kept ? kept.pop() : undefined;
  const visit = (at: Expr, out: Expr): void => {
    if (columns === undefined) {
      body(rowGroup(k, folded, at, out, vector));
      return;
    }
    const strip = (lanes: number) => (j: Expr) =>
      body(columnGroup(k, folded, k.let("col", add(at, j)), k.let("to", add(out, j)), lanes));
    const whole = vector ? columns.n - (columns.n % LANES) : 0;
    k.forParallel("j", 0, whole, strip(LANES), { step: LANES });
    k.forParallel("j", whole, columns.n, strip(1));
  };
  const outer = (rest: readonly Axis[], at: Expr, out: Expr): void => {
    const [axis, ...inner] = rest;
    if (axis === undefined) visit(at, out);
    else {
      k.forParallel("g", 0, axis.n, (i) => {
        const next = k.let("at", add(at, mul(i, axis.step)));
        outer(inner, next, k.let("to", add(out, mul(i, axis.out))));
      });
    }
  };
  outer(kept, constant("i32", 0), constant("i32", 0));
}

/** A group's value spread over the lanes of `type`. */
export const spread = (value: Expr, type: KType): Expr =>
  isVector(type) && !isVector(value.type) ? { kind: "splat", type, a: value } : value;

/** The lanes of a value, as scalars, with the result index of each. */
export function eachLane(
  k: KernelBuilder,
  at: Expr,
  value: Expr,
  take: (at: Expr, value: Expr) => void,
): void {
  if (!isVector(value.type)) {
    take(at, value);
    return;
  }
  const named = k.let("v", value);
  for (const lane of range(lanesOf(value.type))) take(add(at, lane), extract(named, lane));
}
