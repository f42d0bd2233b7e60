/**
 * @file Minimum and maximum of float vectors where the one instruction of most machines has the right meaning:
 * engines spend seven more on NaN and the sign of zero in `min` and `max`.
 */
import { type Expr, elemOf, isFloatElem, isVector } from "../../kernel/ir.ts";

/** pmin(a, b) is b < a ? b : a; pmax(a, b) is a < b ? b : a. */
export interface Extreme {
  readonly op: "pmin" | "pmax";
  readonly a: Expr;
  readonly b: Expr;
  /** +0 is to be added: -0 becomes +0. */
  readonly addZero: boolean;
}

const isFloatVector = (x: Expr): boolean => isVector(x.type) && isFloatElem(elemOf(x.type));

const same = (a: Expr, b: Expr): boolean =>
  a === b ||
  (a.kind === "var" && b.kind === "var" && a.name === b.name) ||
  (a.kind === "const" && b.kind === "const" && Object.is(a.value, b.value));

/** The expression as such an instruction; null when it is none. */
export function extremeOf(x: Expr): Extreme | null {
  if (!isFloatVector(x)) return null;
  if (x.kind === "select") {
    const { cond } = x;
    if (cond.kind !== "binary" || cond.op !== "lt" || !isFloatVector(cond.a)) return null;
    const [p, q] = [cond.a, cond.b];
    if (same(x.a, p) && same(x.b, q)) return { op: "pmin", a: q, b: p, addZero: false };
    if (same(x.a, q) && same(x.b, p)) return { op: "pmax", a: p, b: q, addZero: false };
    return null;
  }
  if (x.kind !== "binary" || (x.op !== "min" && x.op !== "max") || x.b.kind !== "const") {
    return null;
  }
  const bound = Number(x.b.value);
  if (Number.isNaN(bound)) return null;
  if (x.op === "max") {
    return { op: "pmax", a: x.a, b: x.b, addZero: bound === 0 && !Object.is(bound, -0) };
  }
  return Object.is(bound, -0) ? null : { op: "pmin", a: x.a, b: x.b, addZero: false };
}
