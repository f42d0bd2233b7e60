/** @file Reading expressions out of a graph: products, sums with a constant, chains of one op. */
import { isOp, type Node, type Value } from "../graph/graph.ts";
import type { Attrs, Op } from "../graph/op.ts";
import type { RewriteContext } from "../graph/rewrite.ts";
import { add } from "../ops/elementwise/add.ts";
import { div } from "../ops/elementwise/div.ts";
import { mul } from "../ops/elementwise/mul.ts";
import { neg } from "../ops/elementwise/neg.ts";
import { pow } from "../ops/elementwise/pow.ts";
import { square } from "../ops/elementwise/square.ts";
import { sub } from "../ops/elementwise/sub.ts";
import { uniformValue } from "./rules.ts";

/** coefficient * product of factors. */
export interface Product {
  readonly coefficient: number;
  readonly factors: readonly Value[];
}

/** The number a constant holds in every element; null otherwise. */
export const numberOf = (ctx: RewriteContext, v: Value): number | null =>
  uniformValue(ctx.constant(v));

/** The node producing `v` when it is of this op and its result is a plain float. */
export function producedBy<A extends Attrs>(
  ctx: RewriteContext,
  v: Value | undefined,
  op: Op<A>,
): Node<A> | null {
  if (v === undefined || ctx.typeOf(v).quant !== undefined) return null;
  const node = ctx.producer(v);
  return node !== undefined && isOp(node, op) ? node : null;
}

const one = (v: Value): Product => ({ coefficient: 1, factors: [v] });

/**
 * The value as a product, looking through multiplications, divisions by numbers, negation and powers, but
 * not into `stop`.
 */
export function productOf(
  ctx: RewriteContext,
  v: Value,
  depth = 6,
  stop: Value | null = null,
): Product {
  const constant = numberOf(ctx, v);
  if (constant !== null) return { coefficient: constant, factors: [] };
  if (depth === 0 || v === stop) return one(v);
  const part = (u: Value): Product => productOf(ctx, u, depth - 1, stop);
  const times = producedBy(ctx, v, mul);
  if (times !== null) {
    const [a, b] = [part(times.ins[0]!), part(times.ins[1]!)];
    return {
      coefficient: a.coefficient * b.coefficient,
      factors: [...a.factors, ...b.factors],
    };
  }
  const by = producedBy(ctx, v, div);
  const divisor = by === null ? null : numberOf(ctx, by.ins[1]!);
  if (by !== null && divisor !== null) {
    const a = part(by.ins[0]!);
    return { coefficient: a.coefficient / divisor, factors: a.factors };
  }
  const minus = producedBy(ctx, v, neg);
  if (minus !== null) {
    const a = part(minus.ins[0]!);
    return { coefficient: -a.coefficient, factors: a.factors };
  }
  const power = powerOf(ctx, v);
  if (power === null) return one(v);
  const a = part(power.base);
  const n = power.exponent;
  return {
    coefficient: a.coefficient ** n,
    factors: Array.from({ length: n }, () => a.factors).flat(),
  };
}

/** base ** exponent with a small whole exponent: square, pow by a constant. */
export function powerOf(
  ctx: RewriteContext,
  v: Value,
): { readonly base: Value; readonly exponent: number } | null {
  const sq = producedBy(ctx, v, square);
  if (sq !== null) return { base: sq.ins[0]!, exponent: 2 };
  const p = producedBy(ctx, v, pow);
  const exponent = p === null ? null : numberOf(ctx, p.ins[1]!);
  return p !== null && (exponent === 2 || exponent === 3) ? { base: p.ins[0]!, exponent } : null;
}

/** u + number, either way round, also written as a subtraction. */
export function sumWithNumber(
  ctx: RewriteContext,
  v: Value | undefined,
): { readonly term: Value; readonly number: number } | null {
  const plus = producedBy(ctx, v, add);
  if (plus !== null) {
    const [a, b] = plus.ins as readonly [Value, Value];
    const [x, y] = [numberOf(ctx, a), numberOf(ctx, b)];
    if (y !== null) return { term: a, number: y };
    return x === null ? null : { term: b, number: x };
  }
  const minus = producedBy(ctx, v, sub);
  const y = minus === null ? null : numberOf(ctx, minus.ins[1]!);
  return minus === null || y === null ? null : { term: minus.ins[0]!, number: -y };
}

/** Equal up to the rounding of a constant written in f32 or with a few digits. */
export const near = (a: number, b: number): boolean => Math.abs(a - b) <= 1e-4 * Math.abs(b);
