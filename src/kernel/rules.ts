/**
 * @file Algebra on scalar i32, as text in the notation of print.ts: x, y, z stand for any expression, c and d
 * for constants. `if pow2` asks that c is a power of two. A test checks every rule on random values.
 */
import type { Expr } from "./ir.ts";
import { Lexer } from "./lexer.ts";
import { type Names, parseExpr } from "./parse-expr.ts";
import { mapOperands, operandsOf } from "./walk.ts";

/** One rule a line: pattern -> replacement [if pow2]. Replacements are folded afterwards. */
export const RULES = `
(c + x) -> (x + c)
(c * x) -> (x * c)
and(c, x) -> and(x, c)
or(c, x) -> or(x, c)
xor(c, x) -> xor(x, c)
(x + 0) -> x
(x - c) -> (x + (0 - c))
(x * 1) -> x
(x * 0) -> 0
(x - x) -> 0
((x + c) + d) -> (x + (c + d))
((x + c) + y) -> ((x + y) + c)
(x + (y + c)) -> ((x + y) + c)
(x - (y + c)) -> ((x - y) - c)
((x * c) * d) -> (x * (c * d))
((x + c) * d) -> ((x * d) + (c * d))
(x + (y - x)) -> y
((x - y) + y) -> x
and(x, x) -> x
and(x, 0) -> 0
and(x, -1) -> x
and(and(x, c), d) -> and(x, and(c, d))
or(x, x) -> x
or(x, 0) -> x
or(x, -1) -> -1
xor(x, x) -> 0
xor(x, 0) -> x
shl(x, 0) -> x
shr(x, 0) -> x
shr_u(x, 0) -> x
div(x, 1) -> x
div_u(x, 1) -> x
rem(x, 1) -> 0
rem_u(x, 1) -> 0
div_u(x, c) -> shr_u(x, (31 - clz(c))) if pow2
rem_u(x, c) -> and(x, (c - 1)) if pow2
min(x, x) -> x
max(x, x) -> x
min(min(x, c), d) -> min(x, min(c, d))
max(max(x, c), d) -> max(x, max(c, d))
max(min(x, c), c) -> c
min(max(x, c), c) -> c
eq(x, x) -> 1
ne(x, x) -> 0
lt(x, x) -> 0
le(x, x) -> 1
eq((x + c), d) -> eq(x, (d - c))
ne((x + c), d) -> ne(x, (d - c))
select(x, y, y) -> y
select(1, x, y) -> x
select(0, x, y) -> y
neg(neg(x)) -> x
not(not(x)) -> x
`;

/** A rule as expressions over the variables x, y, z and the constants c, d. */
export interface Rule {
  readonly text: string;
  readonly pattern: Expr;
  readonly replacement: Expr;
  readonly pow2: boolean;
}

function parseRule(text: string): Rule {
  const [pattern, rest] = text.split(" -> ") as [string, string];
  const [replacement, condition] = rest.split(" if ") as [string, string | undefined];
  const names: Names = {
    buffers: new Map(),
    types: new Map(["x", "y", "z", "c", "d"].map((n) => [n, "i32"] as const)),
  };
  const read = (side: string): Expr => parseExpr(new Lexer(side), names);
  return {
    text,
    pattern: read(pattern),
    replacement: read(replacement),
    pow2: condition === "pow2",
  };
}

export const PARSED_RULES: readonly Rule[] = RULES.trim().split("\n").map(parseRule);

/** Equal structure and constants. Loads count as equal: no store happens inside an expression. */
export function sameExpr(a: Expr, b: Expr): boolean {
  if (a === b) return true;
  if (a.kind !== b.kind || a.type !== b.type) return false;
  if (a.kind === "const" && b.kind === "const") return Object.is(a.value, b.value);
  if (a.kind === "var" && b.kind === "var") return a.name === b.name;
  const comparable = a.kind === "binary" || a.kind === "unary" || a.kind === "select";
  if (!comparable || ("op" in a && "op" in b && a.op !== b.op)) return false;
  const y = operandsOf(b);
  return operandsOf(a).every((x, i) => sameExpr(x, y[i]!));
}

type Binding = Map<string, Expr>;

function match(pattern: Expr, e: Expr, bound: Binding): boolean {
  if (pattern.kind === "var") {
    if (e.type !== "i32") return false;
    if ("cd".includes(pattern.name) && e.kind !== "const") return false;
    const before = bound.get(pattern.name);
    if (before !== undefined) return sameExpr(before, e);
    bound.set(pattern.name, e);
    return true;
  }
  if (pattern.kind !== e.kind || pattern.type !== e.type) return false;
  if (pattern.kind === "const" && e.kind === "const") return Object.is(pattern.value, e.value);
  if ("op" in pattern && (!("op" in e) || pattern.op !== e.op)) return false;
  const parts = operandsOf(e);
  return operandsOf(pattern).every((p, i) => match(p, parts[i]!, bound));
}

const fill = (e: Expr, bound: Binding): Expr =>
  e.kind === "var" ? bound.get(e.name)! : mapOperands(e, (x) => fill(x, bound));

const isPow2 = (e: Expr | undefined): boolean =>
  e?.kind === "const" && Number(e.value) > 0 && (Number(e.value) & (Number(e.value) - 1)) === 0;

/** Rules by the operation at the root of their pattern. */
const byRoot = new Map<string, Rule[]>();
const rootOf = (e: Expr): string => ("op" in e ? e.op : e.kind);
for (const rule of PARSED_RULES) {
  const root = rootOf(rule.pattern);
  byRoot.set(root, [...(byRoot.get(root) ?? []), rule]);
}

/** The replacement by the first rule that fits, or null. Does not look into operands. */
export function applyRule(e: Expr): Expr | null {
  if (e.type !== "i32") return null;
  for (const rule of byRoot.get(rootOf(e)) ?? []) {
    const bound: Binding = new Map();
    if (!match(rule.pattern, e, bound)) continue;
    if (rule.pow2 && !isPow2(bound.get("c"))) continue;
    return fill(rule.replacement, bound);
  }
  return null;
}
