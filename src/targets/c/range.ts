/** @file Bounds of i32 expressions: where they show that C's arithmetic cannot overflow, plain operators do. */
import { COMPARISONS, type Expr } from "../../kernel/ir.ts";
import type { DType } from "../../tensor/dtype.ts";
import { DTYPES, sizeOf } from "../../tensor/dtype.ts";

export type Range = readonly [low: number, high: number];
export const FULL: Range = [-(2 ** 31), 2 ** 31 - 1];

export interface RangeScope {
  readonly ranges: ReadonlyMap<string, Range>;
  readonly dtypeOf: (buffer: string) => DType;
}

const within = ([lo, hi]: Range): boolean => lo >= FULL[0] && hi <= FULL[1];

function around(corners: readonly number[]): Range {
  return [Math.min(...corners), Math.max(...corners)];
}

/** The exact bounds of a sum, difference or product of i32 values; may exceed i32. */
export function exactRange(s: RangeScope, e: Extract<Expr, { kind: "binary" }>): Range | null {
  if (e.type !== "i32" || !["add", "sub", "mul"].includes(e.op)) return null;
  const [a, b] = rangeOf(s, e.a);
  const [c, d] = rangeOf(s, e.b);
  if (e.op === "add") return [a + c, b + d];
  return e.op === "sub" ? [a - d, b - c] : around([a * c, a * d, b * c, b * d]);
}

/** True when plain C arithmetic gives this expression without overflow. */
export function isPlain(s: RangeScope, e: Extract<Expr, { kind: "binary" }>): boolean {
  const range = exactRange(s, e);
  return range !== null && within(range);
}

/** Bounds of an i32 expression. */
export function rangeOf(s: RangeScope, e: Expr): Range {
  if (e.type !== "i32") return FULL;
  if (e.kind === "const") return [Number(e.value) | 0, Number(e.value) | 0];
  if (e.kind === "var") return s.ranges.get(e.name) ?? FULL;
  if (e.kind === "load") {
    const dtype = s.dtypeOf(e.buffer);
    return sizeOf(dtype) < 4
      ? [DTYPES[dtype].min, dtype === "bool" ? 255 : DTYPES[dtype].max]
      : FULL;
  }
  if (e.kind !== "binary") return FULL;
  const exact = exactRange(s, e);
  if (exact !== null) return within(exact) ? exact : FULL;
  const [a, b] = rangeOf(s, e.a);
  const [c, d] = rangeOf(s, e.b);
  if (e.op === "min") return [Math.min(a, c), Math.min(b, d)];
  if (e.op === "max") return [Math.max(a, c), Math.max(b, d)];
  if (e.op === "and" && (a >= 0 || c >= 0)) {
    return [0, Math.min(a >= 0 ? b : FULL[1], c >= 0 ? d : FULL[1])];
  }
  if (c > 0 && a >= 0 && e.op === "div") return [Math.trunc(a / d), Math.trunc(b / c)];
  if (c > 0 && a >= 0 && e.op === "rem") return [0, Math.min(b, d - 1)];
  return COMPARISONS.has(e.op) ? [0, 1] : FULL;
}
