/** @file Computes equal expressions once, and drops what nobody reads. */
import type { Expr, Kernel, Stmt } from "./ir.ts";
import { registersOf } from "./simplify.ts";
import {
  aliasesOf,
  eachExpr,
  freshNames,
  mapBlocks,
  mapOperands,
  mapStmt,
  operandsOf,
  writesOf,
} from "./walk.ts";

const texts = new WeakMap<Expr, string>();

/** Everything of an expression but its operands. */
function ownText(e: Expr): string {
  const known = texts.get(e);
  if (known !== undefined) return known;
  let text = "";
  for (const [key, v] of Object.entries(e) as readonly [string, unknown][]) {
    if (typeof v !== "object") text += `${key}=${Object.is(v, -0) ? "-0" : String(v)},`;
  }
  if (e.kind === "lanes") text += e.values.map((v) => (Object.is(v, -0) ? "-0" : v));
  if (e.kind === "shuffle") text += e.indices;
  texts.set(e, text);
  return text;
}

/** Numbers expressions so that equal numbers mean equal values at that point of the program. */
class Numbering {
  private readonly kernel: Kernel;
  private readonly ids: Map<string, number>;
  private readonly versions = new Map<string, number>();
  private counter = 0;
  /** Numbers of expressions since the last change. */
  private known = new Map<Expr, number>();

  /** `ids` is shared by the passes over one kernel: they then number alike. */
  constructor(kernel: Kernel, ids: Map<string, number>) {
    this.kernel = kernel;
    this.ids = ids;
  }

  /** Registers assigned and buffers written get a new version: values read before are not theirs. */
  change(names: Iterable<string>): void {
    for (const n of names) this.versions.set(n, ++this.counter);
    this.known = new Map();
  }

  /** Everything that running `body` may change. */
  changeBlock(body: readonly Stmt[]): void {
    const { names, buffers } = writesOf(this.kernel, body);
    this.change(names);
    this.change(buffers);
  }

  changeBuffer(name: string): void {
    this.change(aliasesOf(this.kernel, name));
  }

  number(e: Expr): number {
    let id = this.known.get(e);
    if (id === undefined) {
      id = this.compute(e);
      this.known.set(e, id);
    }
    return id;
  }

  private compute(e: Expr): number {
    let key = ownText(e);
    const name = e.kind === "var" ? e.name : e.kind === "load" ? e.buffer : "";
    if (name !== "") key += `;${this.versions.get(name) ?? 0}`;
    for (const x of operandsOf(e)) key += `;${this.number(x)}`;
    let id = this.ids.get(key);
    if (id === undefined) {
      id = this.ids.size;
      this.ids.set(key, id);
    }
    return id;
  }
}

/** Names, constants and `name + constant` (an address offset) are not worth a name. */
function worthNaming(e: Expr): boolean {
  if (e.kind === "const" || e.kind === "lanes" || e.kind === "var") return false;
  if (e.kind === "splat" && e.a.kind === "const") return false;
  return !(e.kind === "binary" && e.op === "add" && e.type === "i32" && e.b.kind === "const");
}

/** Walks statements in order, telling what changes; versions are then the same in both passes. */
function walkChanges(
  n: Numbering,
  s: Stmt,
  own: () => void,
  inner: (body: readonly Stmt[]) => void,
): void {
  own();
  if (s.kind === "set") n.change([s.name]);
  if (s.kind === "store" || s.kind === "fill") n.changeBuffer(s.buffer);
  if (s.kind === "copy") n.changeBuffer(s.dst);
  if (s.kind === "for") {
    n.changeBlock(s.body);
    inner(s.body);
    n.changeBlock(s.body);
  }
  if (s.kind === "if") {
    inner(s.then);
    n.changeBlock(s.then);
    inner(s.else);
    n.changeBlock(s.else);
  }
}

/** How often each value is asked for, not counting inside repeated expressions. */
function countUses(kernel: Kernel, ids: Map<string, number>): ReadonlyMap<number, number> {
  const n = new Numbering(kernel, ids);
  const uses = new Map<number, number>();
  const count = (e: Expr): Expr => {
    const id = n.number(e);
    const seen = uses.get(id) ?? 0;
    uses.set(id, seen + 1);
    if (seen === 0) operandsOf(e).forEach(count);
    return e;
  };
  const block = (body: readonly Stmt[]): void => {
    for (const s of body) walkChanges(n, s, () => void mapStmt(s, count), block);
  };
  block(kernel.body);
  return uses;
}

/** Names for repeated values, scope by scope. */
class Sharing {
  private readonly uses: ReadonlyMap<number, number>;
  private readonly numbering: Numbering;
  private readonly fresh: (hint: string) => string;
  private readonly registers: ReadonlySet<string>;
  private readonly aliases = new Map<string, Expr>();

  constructor(kernel: Kernel) {
    const ids = new Map<string, number>();
    this.uses = countUses(kernel, ids);
    this.numbering = new Numbering(kernel, ids);
    this.fresh = freshNames(kernel);
    this.registers = registersOf(kernel.body);
  }

  /** The statements of a block; `known` holds the names of the scopes around it. */
  block(body: readonly Stmt[], known: ReadonlyMap<number, Expr>): Stmt[] {
    const available = new Map(known);
    const out: Stmt[] = [];
    for (const s of body) this.statement(s, available, out);
    return out;
  }

  private statement(s: Stmt, available: Map<number, Expr>, out: Stmt[]): void {
    const blocks: Stmt[][] = [];
    let result: Stmt | null = null;
    const own = (): void => {
      result = s.kind === "let" ? this.named(s, available, out) : null;
      if (s.kind !== "let") result = mapStmt(s, (e) => this.share(e, available, out));
    };
    walkChanges(this.numbering, s, own, (inner) => void blocks.push(this.block(inner, available)));
    if (result !== null) out.push(mapBlocks(result, () => blocks.shift()!));
  }

  /** A let: a value already named makes its name an alias; otherwise it names the value. */
  private named(
    s: Extract<Stmt, { readonly kind: "let" }>,
    available: Map<number, Expr>,
    out: Stmt[],
  ): Stmt | null {
    const id = this.numbering.number(s.value);
    const before = this.lookup(s.value, id, available);
    if (before !== null) {
      this.aliases.set(s.name, before);
      return null;
    }
    const value = mapOperands(s.value, (x) => this.share(x, available, out));
    if (value.kind === "var") return { ...s, value: this.resolve(value) };
    if (worthNaming(s.value)) {
      available.set(id, { kind: "var", type: s.value.type, name: s.name });
    }
    return { ...s, value };
  }

  private lookup(e: Expr, id: number, available: ReadonlyMap<number, Expr>): Expr | null {
    if (e.kind === "var" && !this.registers.has(e.name)) return this.resolve(e);
    return available.get(id) ?? null;
  }

  private resolve(e: Expr): Expr {
    return e.kind === "var" ? (this.aliases.get(e.name) ?? e) : e;
  }

  private share(e: Expr, available: Map<number, Expr>, out: Stmt[]): Expr {
    if (e.kind === "var") return this.resolve(e);
    const id = this.numbering.number(e);
    const before = available.get(id);
    if (before !== undefined) return before;
    const value = mapOperands(e, (x) => this.share(x, available, out));
    if ((this.uses.get(id) ?? 0) < 2 || !worthNaming(e)) return value;
    const name = this.fresh("s");
    out.push({ kind: "let", name, value });
    const result: Expr = { kind: "var", type: e.type, name };
    available.set(id, result);
    return result;
  }
}

/** Names expressions that occur more than once, in the block where they first occur. */
export const shareCommon = (kernel: Kernel): Kernel => ({
  ...kernel,
  body: new Sharing(kernel).block(kernel.body, new Map()),
});

/** Removes names that nobody reads, and blocks that are left empty. */
export function removeUnused(kernel: Kernel): Kernel {
  let body = kernel.body;
  for (;;) {
    const used = new Set<string>();
    eachExpr(body, (e) => {
      if (e.kind === "var") used.add(e.name);
    });
    let removed = 0;
    const prune = (block: readonly Stmt[]): Stmt[] =>
      block.flatMap((s) => {
        const named = s.kind === "let" || s.kind === "reg" || s.kind === "set";
        const inner = mapBlocks(s, prune);
        const empty =
          (inner.kind === "for" && inner.body.length === 0) ||
          (inner.kind === "if" && inner.then.length === 0 && inner.else.length === 0);
        if (!empty && !(named && !used.has(s.name))) return [inner];
        removed++;
        return [];
      });
    body = prune(body);
    if (removed === 0) return { ...kernel, body };
  }
}
