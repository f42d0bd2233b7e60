/**
 * @file Lowers vectors wider than a target's registers: each becomes adjacent vectors of the register width,
 * part after part, so that engines which join neighbouring operations (V8's re-vectoriser) find pairs.
 */
import { add, extract, i32, shuffle, variable } from "./build.ts";
import {
  type Expr,
  elemBytes,
  elemOf,
  isVector,
  type Kernel,
  type KType,
  lanesOf,
  type Stmt,
} from "./ir.ts";
import { eachExpr, freshNames, mapOperands, mapStmt, readsOf } from "./walk.ts";

type Of<K extends Expr["kind"]> = Extract<Expr, { readonly kind: K }>;
type StmtOf<K extends Stmt["kind"]> = Extract<Stmt, { readonly kind: K }>;

const bytesOf = (type: KType): number => lanesOf(type) * elemBytes(elemOf(type));

/** As a literal: V8 joins those, but not two splats of equal constants. */
function constantOf(e: Of<"const">, type: KType, n: number): Expr {
  if (typeof e.value === "bigint" || Object.is(e.value, 0)) return { ...e, type };
  return { kind: "lanes", type, values: new Array<number>(n).fill(e.value) };
}

class Splitter {
  private readonly width: number;
  private readonly fresh: (hint: string) => string;
  /** The parts that stand for a wide name. */
  private readonly names = new Map<string, readonly Expr[]>();
  private readonly done = new WeakMap<Expr, readonly Expr[]>();

  constructor(kernel: Kernel, width: number) {
    this.width = width;
    this.fresh = freshNames(kernel);
  }

  private isWide(type: KType): boolean {
    return isVector(type) && bytesOf(type) > this.width;
  }

  private partType(type: KType): KType {
    return `${elemOf(type)}x${this.width / elemBytes(elemOf(type))}` as KType;
  }

  /** An expression of at most register width, wide operands inside it lowered. */
  private narrow(e: Expr): Expr {
    if (e.kind === "extract" && this.isWide(e.a.type)) {
      const n = lanesOf(this.partType(e.a.type));
      return extract(this.parts(e.a)[Math.floor(e.lane / n)]!, e.lane % n);
    }
    return mapOperands(e, (x) => this.narrow(x));
  }

  /** The parts of an expression, lowest lanes first; equal parts are the same object. */
  private parts(e: Expr): readonly Expr[] {
    if (!this.isWide(e.type)) return [this.narrow(e)];
    const known = this.done.get(e);
    if (known !== undefined) return known;
    const parts = this.split(e);
    // Names may come to stand for other parts (registers), so only what reads none is remembered.
    if (readsOf(e).names.size === 0) this.done.set(e, parts);
    return parts;
  }

  private split(e: Expr): readonly Expr[] {
    const count = bytesOf(e.type) / this.width;
    const type = this.partType(e.type);
    const n = lanesOf(type);
    const each = (f: (i: number) => Expr): Expr[] => Array.from({ length: count }, (_, i) => f(i));
    switch (e.kind) {
      case "const":
        return new Array<Expr>(count).fill(constantOf(e, type, n));
      case "lanes":
        return each((i) => ({ ...e, type, values: e.values.slice(n * i, n * (i + 1)) }));
      case "var":
        return this.names.get(e.name)!;
      case "load":
        return this.splitLoad(e, type, count);
      case "splat":
        return new Array<Expr>(count).fill({ ...e, type, a: this.narrow(e.a) });
      case "shuffle":
        return this.splitShuffle(e, n, each);
      case "narrow": {
        const source = [...this.parts(e.a), ...this.parts(e.b)];
        return each((i) => ({ ...e, type, a: source[2 * i]!, b: source[2 * i + 1]! }));
      }
      case "extmul":
      case "cast":
        if (e.kind === "extmul" || /_(low|high)_/.test(e.op)) return this.splitHalves(e, each);
        break;
      default:
    }
    return this.splitLanes(e, type, each);
  }

  /** Operations on lanes: the same on every part. */
  private splitLanes(e: Expr, type: KType, each: (f: (i: number) => Expr) => Expr[]): Expr[] {
    const operands = new Map<Expr, readonly Expr[]>();
    mapOperands(e, (x) => {
      operands.set(x, this.parts(x));
      return x;
    });
    const shared = [...operands.values()].every((p) => p.every((x) => x === p[0]));
    const make = (i: number): Expr => {
      const mapped = mapOperands(e, (x) => {
        const parts = operands.get(x)!;
        return parts[parts.length === 1 ? 0 : i]!;
      });
      return { ...mapped, type } as Expr;
    };
    if (!shared) return each(make);
    const first = make(0);
    return each(() => first);
  }

  private splitLoad(e: Of<"load">, type: KType, count: number): Expr[] {
    const n = lanesOf(type);
    const group = e.group ?? lanesOf(e.type);
    const index = this.narrow(e.index);
    const at = (offset: number): Expr => {
      const { group: _, ...load } = { ...e, type, index: add(index, i32(offset)) };
      return group < n ? { ...load, group } : load;
    };
    if (group <= n) return new Array<Expr>(count).fill(at(0));
    return Array.from({ length: count }, (_, i) => at((i * n) % group));
  }

  /** Widening of the low or high half: the half lies in whole parts, each of which gives two. */
  private splitHalves(
    e: Of<"cast"> | Of<"extmul">,
    each: (f: (i: number) => Expr) => Expr[],
  ): Expr[] {
    const type = this.partType(e.type);
    const high = e.kind === "cast" ? e.op.includes("_high_") : e.half === "high";
    const a = this.parts(e.a);
    const b = e.kind === "extmul" ? this.parts(e.b) : a;
    return each((i) => {
      const from = (high ? a.length / 2 : 0) + Math.floor(i / 2);
      const upper = i % 2 === 1;
      if (e.kind === "extmul") {
        return { ...e, type, half: upper ? "high" : "low", a: a[from]!, b: b[from]! };
      }
      const op = e.op.replace(/_(low|high)_/, upper ? "_high_" : "_low_") as typeof e.op;
      return { ...e, type, op, a: a[from]! };
    });
  }

  private splitShuffle(
    e: Of<"shuffle">,
    n: number,
    each: (f: (i: number) => Expr) => Expr[],
  ): Expr[] {
    const source = [...this.parts(e.a), ...this.parts(e.b)];
    return each((i) => {
      const picks = e.indices.slice(n * i, n * (i + 1));
      const from = [...new Set(picks.map((p) => Math.floor(p / n)))];
      const [first, second = first, ...others] = from as [number, ...number[]];
      const lane = (p: number): number =>
        Math.floor(p / n) === first ? p % n : Math.floor(p / n) === second ? n + (p % n) : 0;
      let result = shuffle(source[first]!, source[second]!, picks.map(lane));
      for (const other of others) {
        const take = picks.map((p, j) => (Math.floor(p / n) === other ? n + (p % n) : j));
        result = shuffle(result, source[other]!, take);
      }
      return result;
    });
  }

  block(body: readonly Stmt[]): Stmt[] {
    return body.flatMap((s) => this.stmt(s));
  }

  private stmt(s: Stmt): readonly Stmt[] {
    switch (s.kind) {
      case "let":
      case "reg":
        return this.isWide(s.value.type) ? this.define(s) : [this.plain(s)];
      case "set":
        return this.isWide(s.value.type) ? this.assign(s) : [this.plain(s)];
      case "store":
        return this.isWide(s.value.type) ? this.store(s) : [this.plain(s)];
      case "for":
        return [{ ...(this.plain(s) as typeof s), body: this.block(s.body) }];
      case "if": {
        const plain = this.plain(s) as typeof s;
        return [{ ...plain, then: this.block(s.then), else: this.block(s.else) }];
      }
      default:
        return [this.plain(s)];
    }
  }

  private plain(s: Stmt): Stmt {
    return mapStmt(s, (e) => this.narrow(e));
  }

  /** Names the parts; those of a `let` that are equal become one name. */
  private define(s: StmtOf<"let"> | StmtOf<"reg">): Stmt[] {
    const parts = this.parts(s.value);
    const shared = s.kind === "let" && parts.every((p) => p === parts[0]);
    const out = (shared ? parts.slice(0, 1) : parts).map((value): Stmt => {
      return { kind: s.kind, name: this.fresh(s.name), value };
    });
    const names = out.map((o) => variable((o as StmtOf<"let">).name, parts[0]!.type));
    this.names.set(s.name, shared ? parts.map(() => names[0]!) : names);
    return out;
  }

  private assign(s: StmtOf<"set">): Stmt[] {
    const targets = this.names.get(s.name)! as readonly Of<"var">[];
    const parts = this.parts(s.value);
    const crosses = parts.some((p, i) =>
      targets.slice(0, i).some((t) => readsOf(p).names.has(t.name)),
    );
    const [lets, values] = crosses ? this.named(parts) : [[], parts];
    return [
      ...lets,
      ...targets.map((t, i): Stmt => ({ kind: "set", name: t.name, value: values[i]! })),
    ];
  }

  /** The parts as names, computed before anything is written. */
  private named(parts: readonly Expr[]): readonly [Stmt[], readonly Expr[]] {
    const lets: Stmt[] = [];
    const seen = new Map<Expr, Expr>();
    const names = parts.map((value) => {
      if (value.kind === "var" || value.kind === "const") return value;
      let name = seen.get(value);
      if (name === undefined) {
        name = variable(this.fresh("part"), value.type);
        lets.push({ kind: "let", name: (name as Of<"var">).name, value });
        seen.set(value, name);
      }
      return name;
    });
    return [lets, names];
  }

  private store(s: StmtOf<"store">): Stmt[] {
    const [lets, parts] = this.named(this.parts(s.value));
    const n = lanesOf(parts[0]!.type);
    const lanes = s.lanes ?? lanesOf(s.value.type);
    const index = this.narrow(s.index);
    const out: Stmt[] = [...lets];
    const { buffer } = s;
    if (lanes === lanesOf(s.value.type)) {
      parts.forEach((value, i) => {
        out.push({ kind: "store", buffer, index: add(index, i32(i * n)), value });
      });
      return out;
    }
    // Lane by lane: V8 would pair the store of a lone part with one of another vector that lies behind it, and
    // its re-vectoriser computes wrong values where only some uses of a vector are joined (13.6).
    for (let lane = 0; lane < lanes; lane++) {
      const value = extract(parts[Math.floor(lane / n)]!, lane % n);
      out.push({ kind: "store", buffer, index: add(index, i32(lane)), value });
    }
    return out;
  }
}

/** True when the kernel uses a vector of more than `bytes`. */
function hasWider(kernel: Kernel, bytes: number): boolean {
  let found = false;
  eachExpr(kernel.body, (e) => {
    found ||= bytesOf(e.type) > bytes && isVector(e.type);
  });
  return found;
}

/** The kernel with vectors of at most `bytes` bytes; itself when it has no others. Its forms stay. */
export function narrowVectors(kernel: Kernel, bytes = 16): Kernel {
  if (!hasWider(kernel, bytes)) return kernel;
  return { ...kernel, body: new Splitter(kernel, bytes).block(kernel.body) };
}
