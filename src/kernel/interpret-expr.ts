/** @file Compiles kernel expressions to closures: the expression half of the kernel interpreter. */
import { InternalError, invariant } from "../util/errors.ts";
import { checkRange, ownElem, reader, type Slot } from "./access.ts";
import {
  type ByKind,
  COMPARISONS,
  type Expr,
  elemBytes,
  elemOf,
  isFloatElem,
  isVector,
  lanesOf,
  type Stmt,
  visit,
} from "./ir.ts";
import { bitCast, laneCast } from "./lane-casts.ts";
import {
  type Lane,
  type Lane1,
  type Lane2,
  laneBinary,
  laneCompare,
  laneUnary,
} from "./lane-ops.ts";
import { mathInstance } from "./math/index.ts";

export type Lanes = readonly Lane[];
/** A number (i32, f32, f64), a bigint (i64) or the lanes of a vector. */
export type Value = Lane | Lanes;
export type Code = () => Value;
type Num = () => number;
type One = () => Lane;
type Many = () => Lanes;

/** Where a name's value lives while the kernel runs. */
export interface Cell {
  v: Value;
}

export const makeCell = (): Cell => ({ v: Number.NaN });

export interface ExprContext {
  readonly slots: ReadonlyMap<string, Slot>;
  readonly cells: Map<string, Cell>;
  readonly checkBounds: boolean;
  /** How dot8 reads its second operand. */
  readonly dot8: "signed" | "unsigned";
  /** Compiled maths functions, by name and type. */
  readonly functions: Map<string, (args: readonly Value[]) => Value>;
}

type Of<K extends Expr["kind"]> = Extract<Expr, { readonly kind: K }>;

const i32Of = (value: number | bigint): number => Number(BigInt.asIntN(32, BigInt(value)));

function constantLane(type: Expr["type"], value: number | bigint): Lane {
  const elem = elemOf(type);
  if (elem === "i64") return BigInt.asIntN(64, BigInt(value));
  if (elem === "f32") return Math.fround(Number(value));
  if (elem === "f64") return Number(value);
  const bits = elemBytes(elem) * 8;
  return bits === 32 ? i32Of(value) : Number(BigInt.asIntN(bits, BigInt(value)));
}

/** The value of a name; a name never given a cell is a bug in the kernel. */
export function cellOf(ctx: ExprContext, name: string): Cell {
  const cell = ctx.cells.get(name);
  invariant(cell !== undefined, () => `kernel: ${name} is not defined`);
  return cell;
}

export function slotOf(ctx: ExprContext, name: string): Slot {
  const slot = ctx.slots.get(name);
  invariant(slot !== undefined, () => `kernel: no buffer ${name}`);
  return slot;
}

function compileLoad(ctx: ExprContext, e: Of<"load">): Code {
  const slot = slotOf(ctx, e.buffer);
  const { buffer } = slot;
  const index = compileExpr(ctx, e.index) as Num;
  if (!isVector(e.type)) {
    const read = reader(slot);
    if (!ctx.checkBounds) return () => read(index());
    const { size } = buffer;
    return () => {
      const i = index();
      if (i < 0 || i >= size) checkRange(buffer, i, 1);
      return read(i);
    };
  }
  const elem = elemOf(e.type);
  const read = reader(slot, !isFloatElem(elem));
  const fit = vectorFit(buffer.dtype, elem);
  const count = lanesOf(e.type);
  const group = e.group ?? count;
  return () => {
    const i = index();
    if (ctx.checkBounds) checkRange(buffer, i, group);
    const out = new Array<Lane>(count);
    for (let l = 0; l < count; l++) out[l] = fit(read(i + (l % group)));
    return out;
  };
}

/** Register values of a scalar load, as lanes of `elem`. */
function vectorFit(dtype: Slot["buffer"]["dtype"], elem: Expr["type"] | string): Lane1 {
  const own = ownElem(dtype);
  if (elem === "i64" && own !== "i64") {
    const unsigned = dtype === "u32";
    return (x) => BigInt(unsigned ? (x as number) >>> 0 : (x as number));
  }
  if (elem === own && elem === "i8") return (x) => ((x as number) << 24) >> 24;
  if (elem === own && elem === "i16") return (x) => ((x as number) << 16) >> 16;
  return (x) => x;
}

const map1 = (f: Lane1, a: Many): Many => {
  return () => a().map(f);
};

const map2 = (f: Lane2, a: Many, b: Many): Many => {
  return () => {
    const x = a();
    const y = b();
    const out = new Array<Lane>(x.length);
    for (let i = 0; i < out.length; i++) out[i] = f(x[i]!, y[i]!);
    return out;
  };
};

/** The scalar operations inner loops are made of, without the call of a lane function. */
function fastBinary(e: Of<"binary">, a: Num, b: Num): Code | null {
  switch (`${e.a.type} ${e.op}`) {
    case "i32 add":
      return () => (a() + b()) | 0;
    case "i32 sub":
      return () => (a() - b()) | 0;
    case "i32 mul":
      return () => Math.imul(a(), b());
    case "f32 add":
      return () => Math.fround(a() + b());
    case "f32 sub":
      return () => Math.fround(a() - b());
    case "f32 mul":
      return () => Math.fround(a() * b());
    case "f64 add":
      return () => a() + b();
    case "f64 mul":
      return () => a() * b();
    case "i32 and":
      return () => a() & b();
    case "i32 lt":
      return () => (a() < b() ? 1 : 0);
  }
  return null;
}

function compileBinary(ctx: ExprContext, e: Of<"binary">): Code {
  const a = compileExpr(ctx, e.a);
  const b = compileExpr(ctx, e.b);
  const elem = elemOf(e.a.type);
  const vector = isVector(e.a.type);
  if (!vector) {
    const fast = fastBinary(e, a as Num, b as Num);
    if (fast !== null) return fast;
  }
  if (COMPARISONS.has(e.op)) {
    const test = laneCompare(e.op, elem);
    if (!vector) return () => (test((a as One)(), (b as One)()) ? 1 : 0);
    const [yes, no] = elemBytes(elem) === 8 ? [-1n, 0n] : [-1, 0];
    return map2((x, y) => (test(x, y) ? yes : no), a as Many, b as Many);
  }
  const f = laneBinary(e.op, elem);
  if (!vector) return () => f((a as One)(), (b as One)());
  if (isVector(e.b.type)) return map2(f, a as Many, b as Many);
  return () => {
    const count = (b as Num)();
    return (a as Many)().map((x) => f(x, count));
  };
}

function compileFma(ctx: ExprContext, e: Of<"fma">): Code {
  const a = compileExpr(ctx, e.a);
  const b = compileExpr(ctx, e.b);
  const c = compileExpr(ctx, e.c);
  const elem = elemOf(e.type);
  if (isVector(e.type)) {
    const product = map2(laneBinary("mul", elem), a as Many, b as Many);
    return map2(laneBinary("add", elem), product, c as Many);
  }
  const [x, y, z] = [a as Num, b as Num, c as Num];
  if (elem === "f32") return () => Math.fround(Math.fround(x() * y()) + z());
  if (elem === "f64") return () => x() * y() + z();
  throw new InternalError(`kernel: fma on ${e.type}`);
}

function compileSelect(ctx: ExprContext, e: Of<"select">): Code {
  const cond = compileExpr(ctx, e.cond);
  const a = compileExpr(ctx, e.a);
  const b = compileExpr(ctx, e.b);
  if (!isVector(e.type)) {
    return () => {
      const c = (cond as Num)() !== 0;
      const x = a();
      const y = b();
      return c ? x : y;
    };
  }
  return () => {
    const c = (cond as Many)();
    const x = (a as Many)();
    const y = (b as Many)();
    return x.map((lane, i) => (Number(c[i]) === 0 ? y[i]! : lane));
  };
}

function compileCast(ctx: ExprContext, e: Of<"cast">): Code {
  const a = compileExpr(ctx, e.a);
  const from = elemOf(e.a.type);
  const to = elemOf(e.type);
  const vector = isVector(e.a.type);
  if (e.op === "bits") {
    const f = bitCast(from, to, elemBytes(from) * lanesOf(e.a.type));
    return vector ? () => f((a as Many)()) : () => f([(a as One)()])[0]!;
  }
  const f = laneCast(e.op, from, to);
  if (!vector) return () => f((a as One)());
  if (!e.op.startsWith("extend_")) return map1(f, a as Many);
  const count = lanesOf(e.type);
  const start = e.op.startsWith("extend_high") ? count : 0;
  return () =>
    (a as Many)()
      .slice(start, start + count)
      .map(f);
}

function compileNarrow(ctx: ExprContext, e: Of<"narrow">): Code {
  const a = compileExpr(ctx, e.a) as Many;
  const b = compileExpr(ctx, e.b) as Many;
  const bits = elemBytes(elemOf(e.type)) * 8;
  const lo = e.signed ? -(2 ** (bits - 1)) : 0;
  const hi = e.signed ? 2 ** (bits - 1) - 1 : 2 ** bits - 1;
  const saturate = (x: Lane): Lane => {
    const clamped = Math.min(Math.max(Number(x), lo), hi);
    return (clamped << (32 - bits)) >> (32 - bits);
  };
  return () => [...a(), ...b()].map(saturate);
}

function compileExtmul(ctx: ExprContext, e: Of<"extmul">): Code {
  const a = compileExpr(ctx, e.a) as Many;
  const b = compileExpr(ctx, e.b) as Many;
  const count = lanesOf(e.type);
  const [start, stride] = { low: [0, 1], high: [count, 1], even: [0, 2], odd: [1, 2] }[e.half]!;
  const half = (v: Lanes): Lane[] =>
    Array.from({ length: count }, (_, i) => v[start! + i * stride!]!);
  const product: Lane2 =
    elemOf(e.type) === "i64"
      ? (x, y) => BigInt(x) * BigInt(y)
      : (x, y) => Math.imul(x as number, y as number);
  return map2(
    product,
    () => half(a()),
    () => half(b()),
  );
}

/** Sums of `width` adjacent products, added to `acc`. */
function dot(a: Many, b: Many, width: number, unsigned: boolean, acc: Many | null): Many {
  return () => {
    const x = a() as readonly number[];
    const y = b() as readonly number[];
    const start = acc === null ? null : (acc() as readonly number[]);
    const out = new Array<Lane>(x.length / width);
    for (let i = 0; i < out.length; i++) {
      let sum = start === null ? 0 : start[i]!;
      for (let j = i * width; j < (i + 1) * width; j++) {
        sum += x[j]! * (unsigned ? y[j]! & 0xff : y[j]!);
      }
      out[i] = sum | 0;
    }
    return out;
  };
}

function compileCall(ctx: ExprContext, e: Of<"call">): Code {
  const key = `${e.fn}:${e.type}`;
  let f = ctx.functions.get(key);
  if (f === undefined) {
    f = compileFunction(ctx, e);
    ctx.functions.set(key, f);
  }
  const run = f;
  const args = e.args.map((a) => compileExpr(ctx, a));
  return () => run(args.map((a) => a()));
}

/** A maths function as a closure with cells of its own. Functions never call themselves. */
function compileFunction(ctx: ExprContext, e: Of<"call">): (args: readonly Value[]) => Value {
  const instance = mathInstance(e.fn, e.type);
  const inner: ExprContext = { ...ctx, cells: new Map() };
  const define = (name: string): Cell => {
    const cell = makeCell();
    inner.cells.set(name, cell);
    return cell;
  };
  const params = instance.params.map((p) => define(p.name));
  const lets = instance.body.map((s: Stmt) => {
    invariant(s.kind === "let", () => `maths function ${e.fn}: ${s.kind}`);
    const value = compileExpr(inner, s.value);
    const cell = define(s.name);
    return () => {
      cell.v = value();
    };
  });
  const result = compileExpr(inner, instance.result);
  return (args) => {
    for (let i = 0; i < params.length; i++) params[i]!.v = args[i]!;
    for (const run of lets) run();
    return result();
  };
}

/** A closure that computes the expression. */
export function compileExpr(ctx: ExprContext, e: Expr): Code {
  const many = (x: Expr): Many => compileExpr(ctx, x) as Many;
  const table: ByKind<Expr, Code> = {
    const: (n) => {
      const lane = constantLane(n.type, n.value);
      const v = isVector(n.type) ? new Array<Lane>(lanesOf(n.type)).fill(lane) : lane;
      return () => v;
    },
    lanes: (n) => {
      const v = n.values.map((x) => constantLane(n.type, x));
      return () => v;
    },
    var: (n) => {
      const cell = cellOf(ctx, n.name);
      return () => cell.v;
    },
    load: (n) => compileLoad(ctx, n),
    unary: (n) => {
      const f = laneUnary(n.op, elemOf(n.type));
      const a = compileExpr(ctx, n.a);
      return isVector(n.type) ? map1(f, a as Many) : () => f((a as One)());
    },
    binary: (n) => compileBinary(ctx, n),
    fma: (n) => compileFma(ctx, n),
    select: (n) => compileSelect(ctx, n),
    cast: (n) => compileCast(ctx, n),
    splat: (n) => {
      const a = compileExpr(ctx, n.a) as One;
      const count = lanesOf(n.type);
      const elem = elemOf(n.type);
      const fit = elem === "i8" || elem === "i16" ? vectorFit(elem, elem) : (x: Lane) => x;
      return () => new Array<Lane>(count).fill(fit(a()));
    },
    extract: (n) => {
      const a = many(n.a);
      return () => a()[n.lane]!;
    },
    shuffle: (n) => {
      const a = many(n.a);
      const b = many(n.b);
      return () => {
        const all = [...a(), ...b()];
        return n.indices.map((i) => all[i]!);
      };
    },
    narrow: (n) => compileNarrow(ctx, n),
    extmul: (n) => compileExtmul(ctx, n),
    dot16: (n) => dot(many(n.a), many(n.b), 2, false, null),
    dot8: (n) => dot(many(n.a), many(n.b), 4, ctx.dot8 === "unsigned", many(n.acc)),
    call: (n) => compileCall(ctx, n),
  };
  return visit(table, e);
}
