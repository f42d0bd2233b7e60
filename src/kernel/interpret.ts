/**
 * @file Runs kernel IR exactly as docs/ir.md defines it: the reference every target is tested against.
 * Kernels are compiled to closures once and may then be run many times.
 */

import { sizeOf } from "../tensor/dtype.ts";
import { InternalError, invariant } from "../util/errors.ts";
import { bindSlot, checkRange, makeSlot, ownElem, type Slot, writer } from "./access.ts";
import {
  type Cell,
  type Code,
  cellOf,
  compileExpr,
  type ExprContext,
  makeCell,
  slotOf,
} from "./interpret-expr.ts";
import {
  type ByKind,
  type EngineVariant,
  elemOf,
  formOf,
  isFloatElem,
  isVector,
  type Kernel,
  lanesOf,
  type Stmt,
  visit,
} from "./ir.ts";
import type { Lane } from "./lane-ops.ts";

export interface InterpretOptions {
  /** How dot8 reads its second operand; default "signed". */
  readonly dot8?: "signed" | "unsigned";
  /** Whose form of a kernel runs; default "base". */
  readonly variant?: EngineVariant;
  /** Throw on access outside a buffer; default true. */
  readonly checkBounds?: boolean;
}

/** A kernel ready to run: base addresses in bytes per buffer, values per scalar argument. */
export type KernelFunction = (
  memory: ArrayBufferLike,
  bases: readonly number[],
  args: readonly (number | bigint)[],
) => void;

type Run = () => void;
type Num = () => number;
type Of<K extends Stmt["kind"]> = Extract<Stmt, { readonly kind: K }>;

function compileBlock(ctx: ExprContext, body: readonly Stmt[]): Run {
  const runs = body.map((s) => compileStmt(ctx, s));
  const [first, second] = runs;
  if (runs.length === 1 && first !== undefined) return first;
  if (runs.length === 2 && first !== undefined && second !== undefined) {
    return () => {
      first();
      second();
    };
  }
  return () => {
    for (let i = 0; i < runs.length; i++) runs[i]!();
  };
}

function define(ctx: ExprContext, name: string): Cell {
  const cell = makeCell();
  ctx.cells.set(name, cell);
  return cell;
}

function assign(cell: Cell, value: Code): Run {
  return () => {
    cell.v = value();
  };
}

function compileFor(ctx: ExprContext, s: Of<"for">): Run {
  const begin = compileExpr(ctx, s.begin) as Num;
  const end = compileExpr(ctx, s.end) as Num;
  const cell = define(ctx, s.var);
  const body = compileBlock(ctx, s.body);
  const { step } = s;
  return () => {
    const from = begin();
    const to = end();
    for (let i = from; i < to; i += step) {
      cell.v = i;
      body();
    }
  };
}

function compileStore(ctx: ExprContext, s: Of<"store">): Run {
  const slot = slotOf(ctx, s.buffer);
  const { buffer } = slot;
  const index = compileExpr(ctx, s.index) as Num;
  const value = compileExpr(ctx, s.value);
  const check = ctx.checkBounds;
  if (!isVector(s.value.type)) {
    const write = writer(slot);
    return () => {
      const i = index();
      if (check && (i < 0 || i >= buffer.size)) checkRange(buffer, i, 1);
      write(i, value() as Lane);
    };
  }
  const write = writer(slot, !isFloatElem(elemOf(s.value.type)));
  const count = s.lanes ?? lanesOf(s.value.type);
  return () => {
    const i = index();
    if (check) checkRange(buffer, i, count);
    const lanes = value() as readonly Lane[];
    for (let l = 0; l < count; l++) write(i + l, lanes[l]!);
  };
}

function compileCopy(ctx: ExprContext, s: Of<"copy">): Run {
  const dst = slotOf(ctx, s.dst);
  const src = slotOf(ctx, s.src);
  const dstIndex = compileExpr(ctx, s.dstIndex) as Num;
  const srcIndex = compileExpr(ctx, s.srcIndex) as Num;
  const count = compileExpr(ctx, s.count) as Num;
  const size = sizeOf(dst.buffer.dtype);
  const bytes = (x: Slot, index: number, n: number): Uint8Array =>
    new Uint8Array(x.data.buffer, x.data.byteOffset + index * size, n * size);
  return () => {
    const [i, j, n] = [dstIndex(), srcIndex(), count()];
    checkRange(dst.buffer, i, n);
    checkRange(src.buffer, j, n);
    if (n === 0) return;
    const to = bytes(dst, i, n);
    const from = bytes(src, j, n);
    const apart = Math.abs(to.byteOffset - from.byteOffset) >= n * size;
    if (!apart) throw new InternalError(`kernel: copy overlaps in ${s.dst} and ${s.src}`);
    to.set(from);
  };
}

function compileFill(ctx: ExprContext, s: Of<"fill">): Run {
  const slot = slotOf(ctx, s.buffer);
  const index = compileExpr(ctx, s.index) as Num;
  const count = compileExpr(ctx, s.count) as Num;
  const write = writer(slot);
  const value = ownElem(slot.buffer.dtype) === "i64" ? BigInt(s.value) : s.value;
  return () => {
    const i = index();
    const n = count();
    checkRange(slot.buffer, i, n);
    for (let k = i; k < i + n; k++) write(k, value);
  };
}

function compileStmt(ctx: ExprContext, stmt: Stmt): Run {
  const table: ByKind<Stmt, Run> = {
    for: (s) => compileFor(ctx, s),
    if: (s) => {
      const cond = compileExpr(ctx, s.cond) as Num;
      const then = compileBlock(ctx, s.then);
      const otherwise = compileBlock(ctx, s.else);
      return () => (cond() !== 0 ? then() : otherwise());
    },
    let: (s) => {
      const value = compileExpr(ctx, s.value);
      return assign(define(ctx, s.name), value);
    },
    reg: (s) => {
      const value = compileExpr(ctx, s.value);
      return assign(define(ctx, s.name), value);
    },
    set: (s) => {
      const value = compileExpr(ctx, s.value);
      return assign(cellOf(ctx, s.name), value);
    },
    store: (s) => compileStore(ctx, s),
    copy: (s) => compileCopy(ctx, s),
    fill: (s) => compileFill(ctx, s),
  };
  return visit(table, stmt);
}

const argValue = (type: string, x: number | bigint): Lane => {
  if (type === "i64") return BigInt.asIntN(64, BigInt(x));
  if (type === "i32") return Number(x) | 0;
  return type === "f32" ? Math.fround(Number(x)) : Number(x);
};

/** Compiles a kernel to a function over any memory. */
export function compileKernel(base: Kernel, options: InterpretOptions = {}): KernelFunction {
  const kernel = formOf(base, options.variant ?? "base");
  const slots = new Map(kernel.buffers.map((b) => [b.name, makeSlot(b)]));
  const ctx: ExprContext = {
    slots,
    cells: new Map(),
    checkBounds: options.checkBounds ?? true,
    dot8: options.dot8 ?? "signed",
    functions: new Map(),
  };
  const args = kernel.args.map((a) => ({ type: a.type, cell: define(ctx, a.name) }));
  const body = compileBlock(ctx, kernel.body);
  const order = [...slots.values()];
  return (memory, bases, values) => {
    invariant(
      bases.length === order.length && values.length === args.length,
      () =>
        `kernel ${kernel.name}: ${order.length} buffers and ${args.length} arguments, ` +
        `got ${bases.length} and ${values.length}`,
    );
    order.forEach((slot, i) => {
      bindSlot(slot, memory, bases[i]!);
    });
    args.forEach((a, i) => {
      a.cell.v = argValue(a.type, values[i]!);
    });
    try {
      body();
    } catch (error) {
      if (!(error instanceof InternalError)) throw error;
      throw new InternalError(`${error.message} (in kernel ${kernel.name})`);
    }
  };
}

/** Runs a kernel once. `bases` are byte addresses, multiples of 16. */
export function interpretKernel(
  kernel: Kernel,
  memory: ArrayBufferLike,
  bases: readonly number[],
  args: readonly (number | bigint)[],
  options: InterpretOptions = {},
): void {
  compileKernel(kernel, options)(memory, bases, args);
}
