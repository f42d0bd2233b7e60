/** @file Kernel -> WebAssembly function: one i32 base address per buffer, then the scalar arguments. */

import { inlineCalls } from "../../kernel/inline-calls.ts";
import { formOf, type Kernel, type Stmt } from "../../kernel/ir.ts";
import { narrowVectors } from "../../kernel/narrow-vectors.ts";
import { prepareKernel } from "../../kernel/transform.ts";
import { invariant } from "../../util/errors.ts";
import { analyse } from "./affine.ts";
import { valTypeOf } from "./arithmetic.ts";
import { emitExpr } from "./emit-expr.ts";
import { emitBlock } from "./emit-stmt.ts";
import type { Emitter, FunctionScope, KernelContext, PureFunction } from "./emitter.ts";
import type { ValType } from "./encoder.ts";
import { FunctionBuilder } from "./function-builder.ts";
import type { FunctionPool, WasmFeatures } from "./pool.ts";

export interface KernelOptions {
  /** Names of scalar arguments that are never negative. */
  readonly nonNegativeArgs?: ReadonlySet<string>;
}

function makeEmitter(context: KernelContext, scope: FunctionScope): Emitter {
  const e: Emitter = {
    ...context,
    ...scope,
    pointers: [],
    constants: new Map(),
    expr: (x) => emitExpr(e, x),
    pure: (key, make) => pureFunction(context.pool, key, make),
    derive: (other) => makeEmitter(context, other),
  };
  return e;
}

function pureFunction(pool: FunctionPool, key: string, make: () => PureFunction): number {
  return pool.once(key, () => {
    const fn = make();
    const params = fn.params.map((p) => valTypeOf(p.type));
    const result: Stmt = { kind: "reg", name: "result", value: fn.result };
    const kernel: Kernel = { name: key, buffers: [], args: [], body: [...fn.body, result] };
    const facts = analyse(kernel, new Set());
    const type = { params, results: [valTypeOf(fn.result.type)] };
    return pool.add(key, type, (features) => {
      const f = new FunctionBuilder(params);
      const names = new Map(fn.params.map((p, i) => [p.name, f.params[i]!]));
      const context = { kernel, facts, pool, usedBy: () => true };
      const e = makeEmitter(context, { f, features, bases: new Map(), names });
      emitBlock(e, fn.body, () => emitExpr(e, fn.result));
      return f.finish();
    });
  });
}

const paramTypes = (kernel: Kernel): ValType[] => [
  ...kernel.buffers.map((): ValType => "i32"),
  ...kernel.args.map((a): ValType => a.type),
];

function emitBody(context: KernelContext, features: WasmFeatures): Uint8Array {
  const { kernel } = context;
  const f = new FunctionBuilder(paramTypes(kernel));
  const local = (i: number): (typeof f.params)[number] => f.params[i]!;
  const bases = kernel.buffers.map((b, i) => [b.name, { buffer: b, local: local(i) }] as const);
  const names = kernel.args.map((a, i) => [a.name, local(bases.length + i)] as const);
  const scope = { f, features, bases: new Map(bases), names: new Map(names) };
  emitBlock(makeEmitter(context, scope), kernel.body);
  return f.finish();
}

const preparedKernels = new WeakMap<Kernel, Kernel>();

/** The kernel in vectors of 16 bytes and prepared; remembered: a program is often emitted more than once. */
function prepared(kernel: Kernel): Kernel {
  const result = preparedKernels.get(kernel) ?? prepareKernel(inlineCalls(narrowVectors(kernel)));
  preparedKernels.set(kernel, result);
  return result;
}

/** Adds a kernel to the pool, or finds its equal. Each variant gets its form of the kernel. */
export function emitKernel(
  pool: FunctionPool,
  kernel: Kernel,
  options: KernelOptions = {},
): number {
  const params = paramTypes(kernel);
  const sourceOf = (f: WasmFeatures): Kernel =>
    prepared(formOf(kernel, f.dot8 ? "dot8" : f.fma ? "fma" : "base"));
  return pool.add(kernel.name, { params, results: [] }, (features) => {
    const source = sourceOf(features);
    invariant(
      `${paramTypes(source)}` === `${params}`,
      () => `kernel ${kernel.name}: one of its forms takes other parameters`,
    );
    const context: KernelContext = {
      kernel: source,
      facts: analyse(source, options.nonNegativeArgs ?? new Set()),
      pool,
      usedBy: (f) => sourceOf(f) === source,
    };
    return emitBody(context, features);
  });
}
