/** @file From integer sums to stored bytes: requantisation, saturation, and stores of as many lanes as exist. */
import { add, constant, type KernelBuilder, max, min, narrow } from "../../kernel/build.ts";
import type { Buffer, Expr } from "../../kernel/ir.ts";
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

/**
 * Requantises one or two i32x4 of sums and stores the first `lanes` results. `params` has the rule's parameters
 * for each vector.
 */
export function storeSums(
  k: KernelBuilder,
  y: Buffer,
  at: Expr,
  { rule, yDtype, tame }: ByteResult,
  sums: readonly Expr[],
  params: readonly (readonly Expr[])[],
  lanes: number,
): void {
  const [low, high] = sums.map((s, i) => {
    const sum = k.let("s", s);
    return k.let("q", tame ? rule.loose(sum, params[i]!) : rule.expr(sum, params[i]!));
  });
  let words = narrow("i16x8", true, low!, high ?? low!);
  const { min: least, max: most } = DTYPES[yDtype];
  if (tame && rule.lo > least) words = max(words, constant("i16x8", rule.lo));
  if (tame && rule.hi < most) words = min(words, constant("i16x8", rule.hi));
  const h = k.let("h", words);
  storeLanes(k, y, at, narrow("i8x16", yDtype === "i8", h, h), lanes);
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
