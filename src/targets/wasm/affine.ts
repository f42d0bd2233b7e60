/** @file Buffer indices as sums of terms with constant factors, and what is known about the names in them. */

import { type ByKind, type Expr, type Kernel, type Stmt, visit } from "../../kernel/ir.ts";
import { eachStmt, operandsOf, readsOf } from "../../kernel/walk.ts";

export interface Term {
  readonly expr: Expr;
  readonly factor: number;
}

/** constant + sum(factor * expr), modulo 2^32. Terms are keyed by their expression. */
export interface Affine {
  readonly terms: ReadonlyMap<string, Term>;
  readonly constant: number;
}

/** Facts about the names of a kernel; names are unique in it. */
export interface Facts {
  /** True when an i32 expression is known not to be negative. */
  readonly nonNegative: (x: Expr) => boolean;
  /** Lets that are affine in names that never change. */
  readonly affines: ReadonlyMap<string, Affine>;
  readonly regs: ReadonlySet<string>;
  /** Names read other than through the affine form of an address: all others need no local. */
  readonly read: ReadonlySet<string>;
}

const ofConstant = (constant: number): Affine => ({ terms: new Map(), constant });
const keyOf = (x: Expr): string =>
  x.kind === "var"
    ? x.name
    : JSON.stringify(x, (_, v) => (typeof v === "bigint" ? `${v}n` : (v as unknown)));

function sum(a: Affine, b: Affine): Affine {
  const terms = new Map(a.terms);
  for (const [key, term] of b.terms) {
    const factor = ((terms.get(key)?.factor ?? 0) + term.factor) | 0;
    if (factor === 0) terms.delete(key);
    else terms.set(key, { expr: term.expr, factor });
  }
  return { terms, constant: (a.constant + b.constant) | 0 };
}

function scale(a: Affine, k: number): Affine {
  const terms = new Map<string, Term>();
  for (const [key, { expr, factor }] of a.terms) {
    const scaled = Math.imul(factor, k);
    if (scaled !== 0) terms.set(key, { expr, factor: scaled });
  }
  return { terms, constant: Math.imul(a.constant, k) };
}

/** The affine form of an i32 expression; `lets` are looked through. */
export function affineOf(x: Expr, lets: ReadonlyMap<string, Affine>): Affine {
  if (x.kind === "const") return ofConstant(Number(x.value) | 0);
  if (x.kind === "var") {
    return lets.get(x.name) ?? { terms: new Map([[x.name, { expr: x, factor: 1 }]]), constant: 0 };
  }
  if (x.kind === "binary" && x.type === "i32") {
    const a = (): Affine => affineOf(x.a, lets);
    const b = (): Affine => affineOf(x.b, lets);
    if (x.op === "add") return sum(a(), b());
    if (x.op === "sub") return sum(a(), scale(b(), -1));
    if (x.op === "mul") {
      const [p, q] = [a(), b()];
      if (q.terms.size === 0) return scale(p, q.constant);
      if (p.terms.size === 0) return scale(q, p.constant);
    }
    if (x.op === "shl" && x.b.kind === "const") return scale(a(), 1 << Number(x.b.value));
  }
  return { terms: new Map([[keyOf(x), { expr: x, factor: 1 }]]), constant: 0 };
}

/** `a` with the name replaced by an affine expression. */
export function substitute(a: Affine, name: string, value: Affine): Affine {
  const term = a.terms.get(name);
  if (term === undefined) return a;
  const terms = new Map(a.terms);
  terms.delete(name);
  return sum({ terms, constant: a.constant }, scale(value, term.factor));
}

export const withConstant = (a: Affine, constant: number): Affine => ({ terms: a.terms, constant });

/** Identifies the terms of an affine expression, whatever its constant. */
export const termsKey = (a: Affine): string =>
  [...a.terms.entries()]
    .map(([key, t]) => `${t.factor}*${key}`)
    .sort()
    .join("+");

/** True when the terms cannot be negative: the constant then is a valid memory offset. */
export const termsNonNegative = (a: Affine, facts: Facts): boolean =>
  [...a.terms.values()].every((t) => t.factor > 0 && facts.nonNegative(t.expr));

/** True when computing the expression elsewhere cannot fail and gives the same value. */
export function isInvariant(x: Expr, changing: ReadonlySet<string>): boolean {
  const { names, mayFail } = readsOf(x);
  return !mayFail && ![...names].some((name) => changing.has(name));
}

interface Parts {
  /** Indices of buffers the statement itself accesses. */
  readonly addresses: readonly Expr[];
  readonly values: readonly Expr[];
}

function partsOf(s: Stmt): Parts {
  const none: readonly Expr[] = [];
  const table: ByKind<Stmt, Parts> = {
    for: (n) => ({ addresses: none, values: [n.begin, n.end] }),
    if: (n) => ({ addresses: none, values: [n.cond] }),
    let: (n) => ({ addresses: none, values: [n.value] }),
    reg: (n) => ({ addresses: none, values: [n.value] }),
    set: (n) => ({ addresses: none, values: [n.value] }),
    store: (n) => ({ addresses: [n.index], values: [n.value] }),
    copy: (n) => ({ addresses: [n.dstIndex, n.srcIndex], values: [n.count] }),
    fill: (n) => ({ addresses: [n.index], values: [n.count] }),
  };
  return visit(table, s);
}

/** The expressions of one statement, nested statements excluded. */
export function expressionsOf(s: Stmt): readonly Expr[] {
  const { addresses, values } = partsOf(s);
  return [...addresses, ...values];
}

const MONOTONE: ReadonlySet<string> = new Set(["add", "mul", "div", "rem", "min", "shl", "shr"]);

/** Non-negativity by induction: names start as candidates and fall when a definition may be negative. */
function nonNegativity(
  definitions: ReadonlyMap<string, readonly Expr[]>,
  kernel: Kernel,
): (x: Expr) => boolean {
  const unsigned = new Set(
    kernel.buffers.filter((b) => ["u8", "u16", "bool"].includes(b.dtype)).map((b) => b.name),
  );
  const candidates = new Set(definitions.keys());
  const test = (x: Expr): boolean => {
    if (x.type !== "i32") return false;
    if (x.kind === "const") return x.value >= 0;
    if (x.kind === "var") return candidates.has(x.name);
    if (x.kind === "load") return unsigned.has(x.buffer);
    if (x.kind === "select") return test(x.a) && test(x.b);
    if (x.kind !== "binary") return false;
    if (x.op === "max" || x.op === "and") return test(x.a) || test(x.b);
    return MONOTONE.has(x.op) && test(x.a) && test(x.b);
  };
  for (let changed = true; changed; ) {
    changed = false;
    for (const name of candidates) {
      if (definitions.get(name)!.every(test)) continue;
      candidates.delete(name);
      changed = true;
    }
  }
  return test;
}

/** `nonNegativeArgs`: scalar arguments that are never negative in any call. */
export function analyse(kernel: Kernel, nonNegativeArgs: ReadonlySet<string>): Facts {
  const definitions = new Map<string, Expr[]>([...nonNegativeArgs].map((name) => [name, []]));
  const regs = new Set<string>();
  const define = (name: string, value: Expr): void => {
    const list = definitions.get(name);
    if (list === undefined) definitions.set(name, [value]);
    else list.push(value);
  };
  eachStmt(kernel.body, (s) => {
    if (s.kind === "for") define(s.var, s.begin);
    if (s.kind === "let" || s.kind === "reg" || s.kind === "set") define(s.name, s.value);
    if (s.kind === "reg") regs.add(s.name);
  });
  const affines = new Map<string, Affine>();
  eachStmt(kernel.body, (s) => {
    if (s.kind !== "let" || s.value.type !== "i32") return;
    const a = affineOf(s.value, affines);
    const plain = (x: Expr): boolean => x.kind === "var" && !regs.has(x.name);
    if ([...a.terms.values()].every((t) => plain(t.expr))) affines.set(s.name, a);
  });
  const nonNegative = nonNegativity(definitions, kernel);
  return { nonNegative, affines, regs, read: namesRead(kernel.body, affines) };
}

/** See Facts.read. Affine lets are read by need, so their own operands count only if they are. */
function namesRead(
  body: readonly Stmt[],
  affines: ReadonlyMap<string, Affine>,
): ReadonlySet<string> {
  const read = new Set<string>();
  const pending = new Map<string, Expr>();
  const address = (index: Expr): void => {
    for (const { expr } of affineOf(index, affines).terms.values()) scan(expr);
  };
  const scan = (x: Expr): void => {
    if (x.kind === "load") address(x.index);
    else if (x.kind !== "var") operandsOf(x).forEach(scan);
    else {
      read.add(x.name);
      const value = pending.get(x.name);
      pending.delete(x.name);
      if (value !== undefined) scan(value);
    }
  };
  eachStmt(body, (s) => {
    if (s.kind === "let" && affines.has(s.name)) pending.set(s.name, s.value);
  });
  eachStmt(body, (s) => {
    const { addresses, values } = partsOf(s);
    addresses.forEach(address);
    if (s.kind !== "let" || !affines.has(s.name)) values.forEach(scan);
  });
  return read;
}
