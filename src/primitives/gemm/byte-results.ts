/** @file From integer sums to stored bytes: requantisation, saturation, and stores of as many lanes as exist. */
import {
  add,
  constant,
  type KernelBuilder,
  max,
  min,
  narrow,
  shuffle,
} from "../../kernel/build.ts";
import { type Buffer, type Expr, type KType, lanesOf } from "../../kernel/ir.ts";
import type { RequantRule } from "../../ops/quant/requantize-rule.ts";
import { DTYPES } from "../../tensor/dtype.ts";
import type { Byte } from "./i8-pack.ts";

/** How sums become bytes. */
export interface ByteResult {
  readonly rule: RequantRule;
  readonly yDtype: Byte;
  /** All sums are within what `rule.loose` takes. */
  readonly tame: boolean;
}

/** One or two vectors of sums requantised, as words: in the first lanes of the result, in order. */
function wordsOf(
  k: KernelBuilder,
  { rule, yDtype, tame }: ByteResult,
  sums: readonly Expr[],
  params: readonly (readonly Expr[])[],
): Expr {
  const [low, high] = sums.map((s, i) => {
    const sum = k.let("s", s);
    return k.let("q", tame ? rule.loose(sum, params[i]!) : rule.expr(sum, params[i]!));
  });
  const type: KType = `i16x${2 * lanesOf(low!.type)}`;
  let words = narrow(type, true, low!, high ?? low!);
  const { min: least, max: most } = DTYPES[yDtype];
  if (tame && rule.lo > least) words = max(words, constant(type, rule.lo));
  if (tame && rule.hi < most) words = min(words, constant(type, rule.hi));
  return words;
}

/** Requantises one or two i32x4 of sums to bytes: the first lanes of the result, in order. */
function requantise(
  k: KernelBuilder,
  result: ByteResult,
  sums: readonly Expr[],
  params: readonly (readonly Expr[])[],
): Expr {
  const h = k.let("h", wordsOf(k, result, sums, params));
  return narrow("i8x16", result.yDtype === "i8", h, h);
}

/**
 * Requantises one or two i32x4 of sums and stores the first `lanes` results. `params` has the rule's parameters
 * for each vector.
 */
export function storeSums(
  k: KernelBuilder,
  y: Buffer,
  at: Expr,
  result: ByteResult,
  sums: readonly Expr[],
  params: readonly (readonly Expr[])[],
  lanes: number,
): void {
  storeLanes(k, y, at, requantise(k, result, sums, params), lanes);
}

/**
 * Requantises one, two or four vectors of sums of any length and stores the first `lanes` results; `params` has the
 * rule's parameters for each vector.
 */
export function storeWide(
  k: KernelBuilder,
  y: Buffer,
  at: Expr,
  result: ByteResult,
  sums: readonly Expr[],
  params: readonly (readonly Expr[])[],
  lanes: number,
): void {
  const n = lanesOf(sums[0]!.type);
  if (n === 4 && sums.length <= 2) {
    storeSums(k, y, at, result, sums, params, lanes);
    return;
  }
  const pairs = [0, 2].filter((i) => i < sums.length).map((i) => sums.slice(i, i + 2));
  const words = pairs.map((pair, i) => wordsOf(k, result, pair, params.slice(2 * i)));
  const low = k.let("h", words[0]!);
  const high = words[1] === undefined ? low : k.let("h", words[1]);
  const bytes = k.let("b", narrow(`i8x${4 * n}`, result.yDtype === "i8", low, high));
  if (n === 4) storeLanes(k, y, at, bytes, lanes);
  else k.store(y, at, bytes, lanes === 4 * n ? undefined : lanes);
}

/** Requantises vectors of sums that share parameters and stores the four bytes of each at `at[i]`. */
export function storeFours(
  k: KernelBuilder,
  y: Buffer,
  at: readonly Expr[],
  result: ByteResult,
  sums: readonly Expr[],
  params: readonly Expr[],
): void {
  for (let i = 0; i < sums.length; i += 2) {
    const pair = sums.slice(i, i + 2);
    const bytes = k.let("b", requantise(k, result, pair, [params, params]));
    k.store(y, at[i]!, bytes, 4);
    if (pair.length < 2) return;
    const moved = Array.from({ length: 16 }, (_, lane) => (lane + 4) % 16);
    k.store(y, at[i + 1]!, shuffle(bytes, bytes, moved), 4);
  }
}

/** Stores the first `lanes` of a vector of bytes. */
function storeLanes(k: KernelBuilder, y: Buffer, at: Expr, bytes: Expr, lanes: number): void {
  const whole = lanes >= 8 ? 8 : lanes >= 4 ? 4 : 0;
  if (whole === lanes) {
    k.store(y, at, bytes, lanes);
    return;
  }
  const b = k.let("b", bytes);
  if (whole > 0) k.store(y, at, b, whole);
  for (let lane = whole; lane < lanes; lane++) {
    k.store(y, add(at, lane), { kind: "extract", type: "i32", a: b, lane });
  }
}

/** Stores two i32x4 as eight bytes; the values are within the type's range. */
export function storeEight(
  k: KernelBuilder,
  y: Buffer,
  at: Expr,
  low: Expr,
  high: Expr,
  dtype: Byte,
): void {
  const words = k.let("h", narrow("i16x8", true, low, high));
  k.store(y, at, narrow("i8x16", dtype === "i8", words, words), 8);
}

/** Stores four lanes of an i32x4 as bytes; the values are within the type's range. */
export function storeFour(k: KernelBuilder, y: Buffer, at: Expr, q: Expr, dtype: Byte): void {
  const words = k.let("h", narrow("i16x8", true, q, q));
  k.store(y, at, narrow("i8x16", dtype === "i8", words, words), 4);
}
