/** @file Traversal of kernels: operands, rebuilding, and the names and buffers code reads and writes. */
import type { Buffer, Expr, Kernel, Stmt } from "./ir.ts";

/** Operands of an expression, in order of evaluation. */
export function operandsOf(e: Expr): readonly Expr[] {
  switch (e.kind) {
    case "const":
    case "lanes":
    case "var":
      return [];
    case "load":
      return [e.index];
    case "fma":
      return [e.a, e.b, e.c];
    case "select":
      return [e.cond, e.a, e.b];
    case "dot8":
      return [e.a, e.b, e.acc];
    case "call":
      return e.args;
    case "binary":
    case "shuffle":
    case "narrow":
    case "extmul":
    case "dot16":
      return [e.a, e.b];
    default:
      return [e.a];
  }
}

/** The expression with its operands replaced; itself when none changes. */
export function mapOperands(e: Expr, f: (operand: Expr) => Expr): Expr {
  const before = operandsOf(e);
  const after = before.map(f);
  if (after.every((x, i) => x === before[i])) return e;
  const [a, b, c] = after as [Expr, Expr, Expr];
  switch (e.kind) {
    case "load":
      return { ...e, index: a };
    case "fma":
      return { ...e, a, b, c };
    case "select":
      return { ...e, cond: a, a: b, b: c };
    case "dot8":
      return { ...e, a, b, acc: c };
    case "call":
      return { ...e, args: after };
    case "binary":
    case "shuffle":
    case "narrow":
    case "extmul":
    case "dot16":
      return { ...e, a, b };
    case "const":
    case "lanes":
    case "var":
      return e;
    default:
      return { ...e, a };
  }
}

/** The statement with `f` applied to its own expressions; nested blocks stay. */
export function mapStmt(s: Stmt, f: (e: Expr) => Expr): Stmt {
  switch (s.kind) {
    case "for":
      return { ...s, begin: f(s.begin), end: f(s.end) };
    case "if":
      return { ...s, cond: f(s.cond) };
    case "let":
    case "reg":
    case "set":
      return { ...s, value: f(s.value) };
    case "store":
      return { ...s, index: f(s.index), value: f(s.value) };
    case "copy":
      return { ...s, dstIndex: f(s.dstIndex), srcIndex: f(s.srcIndex), count: f(s.count) };
    case "fill":
      return { ...s, index: f(s.index), count: f(s.count) };
  }
}

/** The statements inside a statement. */
export function blocksOf(s: Stmt): readonly (readonly Stmt[])[] {
  if (s.kind === "for") return [s.body];
  return s.kind === "if" ? [s.then, s.else] : [];
}

export function mapBlocks(s: Stmt, f: (body: readonly Stmt[]) => readonly Stmt[]): Stmt {
  if (s.kind === "for") return { ...s, body: f(s.body) };
  return s.kind === "if" ? { ...s, then: f(s.then), else: f(s.else) } : s;
}

export function eachStmt(body: readonly Stmt[], f: (s: Stmt) => void): void {
  for (const s of body) {
    f(s);
    for (const inner of blocksOf(s)) eachStmt(inner, f);
  }
}

/** Every expression of a block, operands included. */
export function eachExpr(body: readonly Stmt[], f: (e: Expr) => void): void {
  const visit = (e: Expr): Expr => {
    f(e);
    operandsOf(e).forEach(visit);
    return e;
  };
  eachStmt(body, (s) => void mapStmt(s, visit));
}

/** What an expression reads, and whether computing it where it was not asked for could fail. */
export interface Reads {
  readonly names: ReadonlySet<string>;
  readonly buffers: ReadonlySet<string>;
  /** Loads and integer divisions may fail. */
  readonly mayFail: boolean;
  readonly calls: boolean;
}

const reads = new WeakMap<Expr, Reads>();

/** What `e` reads; remembered per expression object. */
export function readsOf(e: Expr): Reads {
  const known = reads.get(e);
  if (known !== undefined) return known;
  const parts = operandsOf(e).map(readsOf);
  const names = new Set(parts.flatMap((p) => [...p.names]));
  const buffers = new Set(parts.flatMap((p) => [...p.buffers]));
  if (e.kind === "var") names.add(e.name);
  if (e.kind === "load") buffers.add(e.buffer);
  const divides = e.kind === "binary" && (e.op.startsWith("div") || e.op.startsWith("rem"));
  const mayFail = e.kind === "load" || (divides && e.type.startsWith("i"));
  const result: Reads = {
    names,
    buffers,
    mayFail: mayFail || parts.some((p) => p.mayFail),
    calls: e.kind === "call" || parts.some((p) => p.calls),
  };
  reads.set(e, result);
  return result;
}

/** Names a block defines or assigns, and buffers whose contents it may change. */
export interface Writes {
  readonly names: Set<string>;
  readonly buffers: Set<string>;
}

/** Buffers that share memory with this one when an operator runs in place: inputs with outputs. */
export function aliasesOf(kernel: Kernel, name: string): readonly string[] {
  const role = kernel.buffers.find((b) => b.name === name)?.role;
  const other = role === "out" ? "in" : role === "in" ? "out" : null;
  const shares = (b: Buffer): boolean => b.name === name || b.role === other;
  return kernel.buffers.filter(shares).map((b) => b.name);
}

export function writesOf(kernel: Kernel, body: readonly Stmt[]): Writes {
  const names = new Set<string>();
  const buffers = new Set<string>();
  eachStmt(body, (s) => {
    if (s.kind === "for") names.add(s.var);
    if (s.kind === "let" || s.kind === "reg" || s.kind === "set") names.add(s.name);
    const written =
      s.kind === "copy" ? s.dst : s.kind === "store" || s.kind === "fill" ? s.buffer : null;
    if (written !== null) for (const b of aliasesOf(kernel, written)) buffers.add(b);
  });
  return { names, buffers };
}

/** Gives names that the kernel does not use yet. */
export function freshNames(kernel: Kernel): (hint: string) => string {
  const used = new Set([...kernel.buffers, ...kernel.args].map((x) => x.name));
  for (const name of writesOf(kernel, kernel.body).names) used.add(name);
  const next = new Map<string, number>();
  return (hint) => {
    let i = next.get(hint) ?? 0;
    let name = i === 0 ? hint : `${hint}${i}`;
    while (used.has(name)) name = `${hint}${++i}`;
    next.set(hint, i + 1);
    used.add(name);
    return name;
  };
}

/** The i32 value of a constant expression, or null. */
export const constI32 = (e: Expr): number | null =>
  e.kind === "const" && e.type === "i32" ? Number(e.value) | 0 : null;
