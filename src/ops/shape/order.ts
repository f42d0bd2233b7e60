/**
 * @file The order of elements that top_k, arg_max and arg_min share. arg_max and arg_min let a NaN win, as
 * NumPy does; top_k puts NaN last.
 */
import { binary, constant } from "../../kernel/build.ts";
import { type BinaryOp, type Expr, elemOf, isFloatElem } from "../../kernel/ir.ts";
import type { DType } from "../../tensor/dtype.ts";

/** Elements as they are compared: f16 and bf16 decoded, 64-bit integers exact. */
export type Comparable = number | bigint;

const isNaNValue = (x: Comparable): boolean => Number.isNaN(x);

/** Whether x comes before y; equal elements do not, unless `ties`. */
export function precedes(
  x: Comparable,
  y: Comparable,
  largest: boolean,
  nanFirst: boolean,
  ties = false,
): boolean {
  if (isNaNValue(x)) return nanFirst && (ties || !isNaNValue(y));
  if (isNaNValue(y)) return !nanFirst;
  return x === y ? ties : largest ? x > y : x < y;
}

/** The same in kernel IR, as an i32 condition; x and y are variables. */
export function precedesExpr(
  x: Expr,
  y: Expr,
  dtype: DType,
  largest: boolean,
  nanFirst: boolean,
  ties = false,
): Expr {
  const unsigned = dtype === "u32" || dtype === "u64";
  const name = `${largest ? "g" : "l"}${ties ? "e" : "t"}${unsigned ? "_u" : ""}` as BinaryOp;
  const before = binary(name, x, y);
  if (!isFloatElem(elemOf(x.type))) return before;
  const nan = (e: Expr): Expr => binary("ne", e, e);
  const real = (e: Expr): Expr => binary("eq", e, e);
  if (!nanFirst) return binary("or", before, binary("and", nan(y), real(x)));
  return binary("or", before, ties ? nan(x) : binary("and", nan(x), real(y)));
}

/** An i64 constant or i32 register as the i64 to store into an index result. */
export const asI64 = (e: Expr): Expr =>
  e.kind === "const"
    ? constant("i64", BigInt(e.value))
    : { kind: "cast", type: "i64", op: "extend_s", a: e };
