/** @file Builds kernel IR: typed expression constructors with folding of index arithmetic, and a block builder. */
import type { DType } from "../tensor/dtype.ts";
import { invariant } from "../util/errors.ts";
import {
  type BinaryOp,
  type Buffer,
  type BufferRole,
  type CastOp,
  COMPARISONS,
  type Elem,
  type Expr,
  elemBytes,
  elemOf,
  type Half,
  isVector,
  type Kernel,
  type KType,
  type LoopTag,
  lanesOf,
  type ScalarArg,
  type ScalarType,
  type Stmt,
  scalarTypeOf,
  type UnaryOp,
} from "./ir.ts";

/** An expression, or a number standing for an i32 constant. */
export type ExprLike = Expr | number;

export const i32 = (value: number): Expr => ({ kind: "const", type: "i32", value });
export const i64 = (value: bigint): Expr => ({ kind: "const", type: "i64", value });
export const f32 = (value: number): Expr => ({
  kind: "const",
  type: "f32",
  value: Math.fround(value),
});
export const f64 = (value: number): Expr => ({ kind: "const", type: "f64", value });
/** A constant of any type; vectors get it in every lane. */
export function constant(type: KType, value: number | bigint): Expr {
  const elem = elemOf(type);
  if (elem === "i64") return { kind: "const", type, value: BigInt(value) };
  const x = Number(value);
  return { kind: "const", type, value: elem === "f32" ? Math.fround(x) : x };
}
export const lanes = (type: KType, values: readonly number[]): Expr => ({
  kind: "lanes",
  type,
  values,
});
export const variable = (name: string, type: KType): Expr => ({ kind: "var", name, type });

const isParallel = (s: Stmt): boolean => s.kind === "for" && s.parallel === true;

const lift = (e: ExprLike): Expr => (typeof e === "number" ? i32(e) : e);
const constI32 = (e: Expr): number | null =>
  e.kind === "const" && e.type === "i32" ? Number(e.value) : null;

function comparisonType(operand: KType): KType {
  if (!isVector(operand)) return "i32";
  const width = elemBytes(elemOf(operand)) * 8;
  return `i${width}x${lanesOf(operand)}` as KType;
}

/** Integer constants fold; x+0, x*1 and x*0 simplify. Float arithmetic is left as written. */
export function binary(op: BinaryOp, a: ExprLike, b: ExprLike): Expr {
  const x = lift(a);
  const y = lift(b);
  const shift = op === "shl" || op === "shr" || op === "shr_u";
  invariant(
    x.type === y.type || (shift && y.type === "i32"),
    () => `${op}: operand types ${x.type} and ${y.type} differ`,
  );
  const p = constI32(x);
  const q = constI32(y);
  if (p !== null && q !== null) {
    if (op === "add") return i32((p + q) | 0);
    if (op === "sub") return i32((p - q) | 0);
    if (op === "mul") return i32(Math.imul(p, q));
  }
  if (x.type === "i32") {
    if (op === "add" && q === 0) return x;
    if (op === "add" && p === 0) return y;
    if (op === "sub" && q === 0) return x;
    if (op === "mul" && q === 1) return x;
    if (op === "mul" && p === 1) return y;
    if (op === "mul" && (q === 0 || p === 0)) return i32(0);
  }
  return {
    kind: "binary",
    type: COMPARISONS.has(op) ? comparisonType(x.type) : x.type,
    op,
    a: x,
    b: y,
  };
}

export const add = (a: ExprLike, b: ExprLike): Expr => binary("add", a, b);
export const sub = (a: ExprLike, b: ExprLike): Expr => binary("sub", a, b);
export const mul = (a: ExprLike, b: ExprLike): Expr => binary("mul", a, b);
export const min = (a: ExprLike, b: ExprLike): Expr => binary("min", a, b);
export const max = (a: ExprLike, b: ExprLike): Expr => binary("max", a, b);
export const lt = (a: ExprLike, b: ExprLike): Expr => binary("lt", a, b);
export const ge = (a: ExprLike, b: ExprLike): Expr => binary("ge", a, b);
export const le = (a: ExprLike, b: ExprLike): Expr => binary("le", a, b);
export const gt = (a: ExprLike, b: ExprLike): Expr => binary("gt", a, b);
export const eq = (a: ExprLike, b: ExprLike): Expr => binary("eq", a, b);
export const ne = (a: ExprLike, b: ExprLike): Expr => binary("ne", a, b);
export const and = (a: ExprLike, b: ExprLike): Expr => binary("and", a, b);
export const or = (a: ExprLike, b: ExprLike): Expr => binary("or", a, b);
export const xor = (a: ExprLike, b: ExprLike): Expr => binary("xor", a, b);
export const shl = (a: ExprLike, b: ExprLike): Expr => binary("shl", a, b);
export const shr = (a: ExprLike, b: ExprLike): Expr => binary("shr", a, b);
export const div = (a: ExprLike, b: ExprLike): Expr => binary("div", a, b);
export const rem = (a: ExprLike, b: ExprLike): Expr => binary("rem", a, b);

/** Sum of terms, each an expression or a product [expr, factor]. */
export const affine = (...terms: readonly (ExprLike | readonly [ExprLike, number])[]): Expr =>
  terms.reduce<Expr>(
    (sum, t) =>
      add(sum, Array.isArray(t) ? mul(t[0] as ExprLike, t[1] as number) : (t as ExprLike)),
    i32(0),
  );

export const unary = (op: UnaryOp, a: Expr): Expr => ({ kind: "unary", type: a.type, op, a });
export const fma = (a: Expr, b: Expr, c: Expr): Expr => ({ kind: "fma", type: c.type, a, b, c });
export const select = (cond: Expr, a: Expr, b: Expr): Expr => ({
  kind: "select",
  type: a.type,
  cond,
  a,
  b,
});
export const cast = (type: KType, op: CastOp, a: Expr): Expr => ({ kind: "cast", type, op, a });
export const splat = (type: KType, a: Expr): Expr => ({ kind: "splat", type, a });
export const extract = (a: Expr, lane: number): Expr => {
  const e = elemOf(a.type);
  const type: ScalarType = e === "i8" || e === "i16" ? "i32" : e;
  return { kind: "extract", type, a, lane };
};
export const shuffle = (a: Expr, b: Expr, indices: readonly number[]): Expr => ({
  kind: "shuffle",
  type: a.type,
  a,
  b,
  indices,
});
export const narrow = (type: KType, signed: boolean, a: Expr, b: Expr): Expr => ({
  kind: "narrow",
  type,
  signed,
  a,
  b,
});
export const extmul = (type: KType, half: Half, a: Expr, b: Expr): Expr => ({
  kind: "extmul",
  type,
  half,
  a,
  b,
});
export const dot16 = (a: Expr, b: Expr): Expr => ({
  kind: "dot16",
  type: `i32x${lanesOf(a.type) / 2}`,
  a,
  b,
});
export const dot8 = (a: Expr, b: Expr, acc: Expr): Expr => ({
  kind: "dot8",
  type: acc.type,
  a,
  b,
  acc,
});
/** A call of the maths library, lane-wise: the result has the type of the first argument. */
export const call = (fn: string, ...args: readonly Expr[]): Expr => ({
  kind: "call",
  type: args[0]!.type,
  fn,
  args,
});

export interface LoopOptions {
  readonly step?: number;
  readonly tag?: LoopTag;
  /** Iterations may run in any order or at the same time; see docs/ir.md for what that asks for. */
  readonly parallel?: boolean;
}

/** Builds one kernel. Statements go to the innermost open block; names are made unique. */
export class KernelBuilder {
  readonly name: string;
  private readonly buffers: Buffer[] = [];
  private readonly args: ScalarArg[] = [];
  private block: Stmt[] = [];
  private readonly used = new Set<string>();
  private readonly registers = new Set<string>();

  constructor(name: string) {
    this.name = name;
  }

  private unique(hint: string): string {
    let name = hint;
    for (let i = 1; this.used.has(name); i++) name = `${hint}${i}`;
    this.used.add(name);
    return name;
  }

  buffer(name: string, dtype: DType, size: number, role: BufferRole): Buffer {
    const b: Buffer = { name: this.unique(name), dtype, size, role };
    this.buffers.push(b);
    return b;
  }

  arg(name: string, type: ScalarType): Expr {
    const unique = this.unique(name);
    this.args.push({ name: unique, type });
    return variable(unique, type);
  }

  /** Scalar load in the buffer's register type, or a vector load when `type` is given. */
  load(buffer: Buffer, index: ExprLike, type: KType = scalarTypeOf(buffer.dtype)): Expr {
    return { kind: "load", type, buffer: buffer.name, index: lift(index) };
  }

  /** Loads `group` elements and repeats them over the vector. */
  loadGroup(buffer: Buffer, index: ExprLike, type: KType, group = 1): Expr {
    return { kind: "load", type, buffer: buffer.name, index: lift(index), group };
  }

  store(buffer: Buffer, index: ExprLike, value: Expr, lanes?: number): void {
    const stmt = { kind: "store", buffer: buffer.name, index: lift(index), value } as const;
    this.block.push(lanes === undefined ? stmt : { ...stmt, lanes });
  }

  /** Names a value so that it is computed once. */
  let(hint: string, value: Expr): Expr {
    const stays = value.kind === "var" && !this.registers.has(value.name);
    if (value.kind === "const" || stays) return value;
    const name = this.unique(hint);
    this.block.push({ kind: "let", name, value });
    return variable(name, value.type);
  }

  /** A register with an initial value; assign it with `set`. */
  reg(hint: string, value: ExprLike): Expr {
    const init = lift(value);
    const name = this.unique(hint);
    this.registers.add(name);
    this.block.push({ kind: "reg", name, value: init });
    return variable(name, init.type);
  }

  set(target: Expr, value: ExprLike): void {
    invariant(target.kind === "var", () => "set: not a register");
    this.block.push({ kind: "set", name: target.name, value: lift(value) });
  }

  copy(dst: Buffer, dstIndex: ExprLike, src: Buffer, srcIndex: ExprLike, count: ExprLike): void {
    this.block.push({
      kind: "copy",
      dst: dst.name,
      dstIndex: lift(dstIndex),
      src: src.name,
      srcIndex: lift(srcIndex),
      count: lift(count),
    });
  }

  fill(buffer: Buffer, index: ExprLike, value: number, count: ExprLike): void {
    this.block.push({
      kind: "fill",
      buffer: buffer.name,
      index: lift(index),
      value,
      count: lift(count),
    });
  }

  private nested(body: () => void): Stmt[] {
    const outer = this.block;
    this.block = [];
    body();
    const inner = this.block;
    this.block = outer;
    return inner;
  }

  /**
   * for (v = begin; v < end; v += step). A loop that runs exactly once is inlined, but for parallel
   * ones that have no parallel loop inside.
   */
  for(
    hint: string,
    begin: ExprLike,
    end: ExprLike,
    body: (v: Expr) => void,
    options: LoopOptions = {},
  ): void {
    const from = lift(begin);
    const to = lift(end);
    const step = options.step ?? 1;
    const p = constI32(from);
    const q = constI32(to);
    const known = p !== null && q !== null && options.tag !== "outline";
    if (known && q <= p) return;
    const once = known && q - p <= step;
    const v = this.unique(hint);
    const stmts = this.nested(() => body(once ? from : variable(v, "i32")));
    if (once && (options.parallel !== true || stmts.some(isParallel))) {
      this.block.push(...stmts);
      return;
    }
    const tag = options.tag ?? "serial";
    const head = { kind: "for", var: v, begin: from, end: to, step, tag } as const;
    const parallel = options.parallel === true ? { parallel: true as const } : {};
    this.block.push({ ...head, ...parallel, body: stmts });
  }

  /** A `for` whose iterations may run in any order or at the same time; see LoopOptions.parallel. */
  forParallel(
    hint: string,
    begin: ExprLike,
    end: ExprLike,
    body: (v: Expr) => void,
    options: LoopOptions = {},
  ): void {
    this.for(hint, begin, end, body, { ...options, parallel: true });
  }

  if(cond: Expr, then: () => void, otherwise: () => void = () => {}): void {
    const a = this.nested(then);
    const b = this.nested(otherwise);
    this.block.push({ kind: "if", cond, then: a, else: b });
  }

  build(): Kernel {
    return { name: this.name, buffers: this.buffers, args: this.args, body: this.block };
  }
}

/** Vector type with the same lane count as `like` and element `e`. */
export const withElem = (like: KType, e: Elem): KType =>
  isVector(like) ? `${e}x${lanesOf(like)}` : (e as ScalarType);
