/** @file The state of one function being emitted: names, buffers, pointers; and the addressing of memory. */

import type { Buffer, Expr, Kernel, KType, Stmt } from "../../kernel/ir.ts";
import { sizeOf } from "../../tensor/dtype.ts";
import { invariant } from "../../util/errors.ts";
import { type Affine, affineOf, type Facts, termsNonNegative } from "./affine.ts";
import type { FunctionBuilder, Local } from "./function-builder.ts";
import { pointerKey } from "./pointers.ts";
import type { FunctionPool, WasmFeatures } from "./pool.ts";

/** A pointer a surrounding loop keeps: the address of buffer[terms + anchor]. */
export interface Pointer {
  readonly key: string;
  readonly anchor: number;
  readonly offsets: boolean;
  readonly local: Local;
}

/** A buffer and the local that holds its base address. */
export interface Base {
  readonly buffer: Buffer;
  readonly local: Local;
}

/** What is particular to one function. */
export interface FunctionScope {
  readonly f: FunctionBuilder;
  readonly features: WasmFeatures;
  readonly bases: ReadonlyMap<string, Base>;
  readonly names: Map<string, Local>;
}

/** What the functions of one kernel share. */
export interface KernelContext {
  readonly kernel: Kernel;
  readonly facts: Facts;
  readonly pool: FunctionPool;
  /** Which variants use this kernel; the others get bodies that trap. */
  readonly usedBy: (features: WasmFeatures) => boolean;
}

/** A function without memory access: the `let`s of `body`, then `result`. */
export interface PureFunction {
  readonly params: readonly { readonly name: string; readonly type: KType }[];
  readonly body: readonly Stmt[];
  readonly result: Expr;
}

export interface Emitter extends KernelContext, FunctionScope {
  /** Pushes the value of an expression. */
  readonly expr: (x: Expr) => void;
  /** Index of a pure function, made the first time its key is met. */
  readonly pure: (key: string, make: () => PureFunction) => number;
  /** An emitter for another function of the same kernel. */
  readonly derive: (scope: FunctionScope) => Emitter;
  /** Pointers of the surrounding loops, innermost last. */
  readonly pointers: Pointer[];
  /** Vector constants kept in locals, by value. */
  readonly constants: Map<string, Local>;
}

export function localOf(e: Emitter, name: string): Local {
  const local = e.names.get(name);
  invariant(local !== undefined, () => `kernel ${e.kernel.name}: ${name} is not in scope`);
  return local;
}

export function baseOf(e: Emitter, name: string): Base {
  const base = e.bases.get(name);
  invariant(base !== undefined, () => `kernel ${e.kernel.name}: no buffer ${name}`);
  return base;
}

/** Pushes an address; the returned offset belongs into the load or store that uses it. */
export function pushAffine(e: Emitter, buffer: string, index: Affine): number {
  const base = baseOf(e, buffer);
  const size = sizeOf(base.buffer.dtype);
  const key = pointerKey(buffer, index);
  const pointer = e.pointers.findLast((p) => p.key === key);
  if (pointer !== undefined) {
    e.f.get(pointer.local);
    const offset = (index.constant - pointer.anchor) * size;
    return withOffset(e, offset, pointer.offsets);
  }
  e.f.get(base.local);
  for (const { expr, factor } of index.terms.values()) {
    e.expr(expr);
    if (factor * size !== 1) e.f.i32(Math.imul(factor, size)).op("i32.mul");
    e.f.op("i32.add");
  }
  return withOffset(e, index.constant * size, termsNonNegative(index, e.facts));
}

function withOffset(e: Emitter, offset: number, allowed: boolean): number {
  if (allowed && offset >= 0) return offset;
  if (offset !== 0) e.f.i32(offset | 0).op("i32.add");
  return 0;
}

/** As pushAffine, for an index expression. */
export const pushAddress = (e: Emitter, buffer: string, index: Expr): number =>
  pushAffine(e, buffer, affineOf(index, e.facts.affines));

/** Pushes the whole address. */
export function pushFullAddress(e: Emitter, buffer: string, index: Affine | Expr): void {
  const offset = "kind" in index ? pushAddress(e, buffer, index) : pushAffine(e, buffer, index);
  if (offset !== 0) e.f.i32(offset | 0).op("i32.add");
}
