/**
 * @file Constants that compilers must not keep in registers through a loop. A loop whose sums fill the registers
 * is often followed by arithmetic with vector constants, which compilers load ahead of the loops around, and
 * then spill the sums or what is added to them. Constants made of a value the compiler cannot see stay behind.
 */
import { type Expr, elemBytes, elemOf, isVector, type Stmt } from "../../kernel/ir.ts";
import { eachExpr, eachStmt } from "../../kernel/walk.ts";
import { splatText } from "./casts.ts";
import type { Helpers } from "./helpers.ts";
import { cType, literal } from "./types.ts";

type Const = Extract<Expr, { readonly kind: "const" }>;

/** Fewer sums leave registers for constants. */
const MANY = 8;

/** A loop that keeps many vectors from one round to the next. */
export function fillsRegisters(s: Stmt): boolean {
  if (s.kind !== "for") return false;
  const names = new Set<string>();
  eachStmt(s.body, (x) => {
    if (x.kind === "set" && isVector(x.value.type)) names.add(x.name);
  });
  return names.size >= MANY;
}

export const constantKey = (x: Const): string => `${x.type} ${literal(elemOf(x.type), x.value)}`;

/** The vector constants of a block but zero, each once. */
export function vectorConstants(body: readonly Stmt[]): ReadonlyMap<string, Const> {
  const found = new Map<string, Const>();
  eachExpr(body, (e) => {
    const wanted = e.kind === "const" && isVector(e.type) && elemBytes(elemOf(e.type)) === 4;
    if (wanted && !Object.is(e.value, 0)) found.set(constantKey(e), e);
  });
  return found;
}

/** The constant, made where the text stands. */
export function lateText(h: Helpers, x: Const): string {
  const elem = elemOf(x.type) as "f32" | "i32";
  const name = `late_${x.type}`;
  h.once(name, () => {
    const body = `  __asm__ volatile("" : "+m"(a));\n  return ${splatText(h, x.type, "a")};\n`;
    return `static inline ${x.type} ${name}(${cType(elem)} a) {\n${body}}\n`;
  });
  return `${name}(${literal(elem, x.value)})`;
}
