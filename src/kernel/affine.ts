/**
 * @file Sorts the terms of i32 sums in indices by the loop that changes them, outermost first and
 * the constant last, so that hoisting and sharing find long common prefixes.
 */
import { add, mul, sub } from "./build.ts";
import type { Expr, Kernel, Stmt } from "./ir.ts";
import { sameExpr } from "./rules.ts";
import { mapOperands, mapStmt, readsOf } from "./walk.ts";

interface Term {
  readonly factor: number;
  readonly e: Expr;
}

/** e = sum of factor * term + constant, in wrapping i32 arithmetic. */
function collect(e: Expr, factor: number, terms: Term[]): number {
  if (e.kind === "const") return Math.imul(factor, Number(e.value));
  if (e.kind === "binary") {
    const { a, b } = e;
    if (e.op === "add") return (collect(a, factor, terms) + collect(b, factor, terms)) | 0;
    if (e.op === "sub") return (collect(a, factor, terms) + collect(b, -factor | 0, terms)) | 0;
    if (e.op === "mul" && b.kind === "const") {
      return collect(a, Math.imul(factor, Number(b.value)), terms);
    }
    if (e.op === "mul" && a.kind === "const") {
      return collect(b, Math.imul(factor, Number(a.value)), terms);
    }
    if (e.op === "shl" && b.kind === "const") {
      return collect(a, factor << Number(b.value), terms);
    }
  }
  const at = terms.findIndex((t) => sameExpr(t.e, e));
  const before = terms[at];
  if (before === undefined) terms.push({ factor, e });
  else terms[at] = { e, factor: (before.factor + factor) | 0 };
  return 0;
}

/** Depth of the innermost loop that changes a name; arguments have none. */
type Depths = Map<string, number>;

function depthOf(depths: Depths, e: Expr): number {
  const { names, buffers } = readsOf(e);
  if (buffers.size > 0) return Number.POSITIVE_INFINITY;
  return Math.max(0, ...[...names].map((n) => depths.get(n) ?? 0));
}

/** One expression as a sum in order of loop depth. */
function sorted(depths: Depths, e: Expr): Expr {
  const isSum = e.kind === "binary" && (e.op === "add" || e.op === "sub" || e.op === "mul");
  if (e.type !== "i32" || !isSum) return e;
  const terms: Term[] = [];
  const constant = collect(e, 1, terms);
  const kept = terms
    .filter((t) => t.factor !== 0)
    .map((t) => ({ ...t, depth: depthOf(depths, t.e) }));
  kept.sort((p, q) => p.depth - q.depth);
  let sum: Expr | null = null;
  for (let i = 0; i < kept.length; ) {
    const { depth } = kept[i]!;
    let group: Expr | null = null;
    for (; i < kept.length && kept[i]!.depth === depth; i++) {
      const { factor, e: term } = kept[i]!;
      if (group !== null && factor === -1) group = sub(group, term);
      else group = group === null ? mul(term, factor) : add(group, mul(term, factor));
    }
    sum = sum === null ? group : add(sum, group!);
  }
  if (sum === null) return { kind: "const", type: "i32", value: constant };
  return add(sum, constant);
}

function sortedDeep(depths: Depths, e: Expr): Expr {
  return sorted(
    depths,
    mapOperands(e, (x) => sortedDeep(depths, x)),
  );
}

function sortBlock(body: readonly Stmt[], depths: Depths, depth: number): Stmt[] {
  return body.map((stmt) => {
    const s = mapStmt(stmt, (e) => sortedDeep(depths, e));
    if (s.kind === "let" || s.kind === "reg") {
      const inside = s.kind === "reg" ? depth : depthOf(depths, s.value);
      depths.set(s.name, Math.min(inside, depth));
    }
    if (s.kind === "if") {
      const then = sortBlock(s.then, depths, depth);
      return { ...s, then, else: sortBlock(s.else, depths, depth) };
    }
    if (s.kind !== "for") return s;
    depths.set(s.var, depth + 1);
    const assigned = assignedIn(s.body);
    const before = assigned.map((n) => [n, depths.get(n) ?? 0] as const);
    for (const n of assigned) depths.set(n, depth + 1);
    const inner = sortBlock(s.body, depths, depth + 1);
    for (const [n, d] of before) depths.set(n, d);
    return { ...s, body: inner };
  });
}

function assignedIn(body: readonly Stmt[]): string[] {
  return body.flatMap((s) => {
    if (s.kind === "set") return [s.name];
    if (s.kind === "for") return assignedIn(s.body);
    return s.kind === "if" ? [...assignedIn(s.then), ...assignedIn(s.else)] : [];
  });
}

/** Sorts every i32 sum of the kernel. */
export const sortSums = (kernel: Kernel): Kernel => ({
  ...kernel,
  body: sortBlock(kernel.body, new Map(), 0),
});
