/** @file Random kernels with data to run them on, for tests of transforms and targets. */
import { ownElem } from "../../src/kernel/access.ts";
import * as b from "../../src/kernel/build.ts";
import { KernelBuilder } from "../../src/kernel/build.ts";
import {
  type Buffer,
  type Expr,
  elemBytes,
  elemOf,
  type Kernel,
  type LoopTag,
  lanesOf,
  scalarTypeOf,
} from "../../src/kernel/ir.ts";
import { DTYPES, type DType, isFloat, sizeOf } from "../../src/tensor/dtype.ts";
import { fromBf16, fromF16, toBf16, toF16 } from "../../src/tensor/half.ts";
import { alignUp } from "../../src/util/math.ts";
import type { Rng } from "../../src/util/rng.ts";
import { pick, randomExpr, randomIndex, SCALARS, type Source, VECTORS } from "./random-expr.ts";

const DTYPE_NAMES = Object.keys(DTYPES) as DType[];
const SIZE = 64;

export interface RandomKernelOptions {
  /** Calls of the maths library; default true. */
  readonly maths?: boolean;
  /** Vector types and operations; default true. */
  readonly vectors?: boolean;
}

/** A kernel that keeps the rules of docs/ir.md, and what it takes to run it. */
export interface RandomKernel {
  readonly kernel: Kernel;
  readonly memoryBytes: number;
  /** Byte address per buffer. */
  readonly bases: readonly number[];
  readonly args: readonly number[];
  /** Fresh memory with random contents (the same for the same kernel). */
  memory(): ArrayBuffer;
}

interface Writer extends Source {
  readonly registers: Expr[];
  readonly types: readonly Expr["type"][];
  budget: number;
}

function block(w: Writer, depth: number): void {
  const names = w.scope.length;
  const registers = w.registers.length;
  const count = 1 + w.rng.int(4);
  for (let i = 0; i < count && w.budget > 0; i++) {
    w.budget--;
    statement(w, depth);
  }
  w.scope.length = names;
  w.registers.length = registers;
}

function loop(w: Writer, depth: number): void {
  const { rng } = w;
  const step = pick(rng, [1, 1, 2]);
  const begin = rng.int(2);
  const end = begin + rng.int(5);
  const last = Math.max(end - 1, 0);
  const tag = pick<LoopTag>(rng, ["serial", "serial", "unroll", "outline"]);
  // The argument n is at most 3; a loop over it is never longer than the constant one.
  const limit = rng.int(4) === 0 ? b.min(w.scope[0]!, end) : end;
  w.k.for(
    "i",
    begin,
    limit,
    (v) => {
      w.loops.push({ v, last });
      w.scope.push(v);
      block(w, depth - 1);
      w.scope.pop();
      w.loops.pop();
    },
    { step, tag },
  );
}

function store(w: Writer): void {
  const buffer = pick(
    w.rng,
    w.buffers.filter((x) => x.role !== "in"),
  );
  const half = isFloat(buffer.dtype) && ownElem(buffer.dtype) === "i16";
  const vectors = w.types.filter((t) => t.includes("x") && elemOf(t) === ownElem(buffer.dtype));
  if (half || vectors.length === 0 || w.rng.int(2) === 0) {
    const value = randomExpr(w, scalarTypeOf(buffer.dtype), 3);
    w.k.store(buffer, randomIndex(w, buffer, 1), value);
    return;
  }
  const type = vectors[0]!;
  const bytes = pick(
    w.rng,
    [16, 16, 8, 4].filter((n) => n >= elemBytes(elemOf(type))),
  );
  const lanes = bytes / elemBytes(elemOf(type));
  const value = randomExpr(w, type, 3);
  const index = randomIndex(w, buffer, lanes);
  if (lanes === lanesOf(type)) w.k.store(buffer, index, value);
  else w.k.store(buffer, index, value, lanes);
}

function move(w: Writer): void {
  const { rng } = w;
  const dst = pick(
    rng,
    w.buffers.filter((x) => x.role !== "in"),
  );
  const count = rng.int(12);
  if (rng.int(2) === 0) {
    w.k.fill(dst, randomIndex(w, dst, count), rng.int(2), count);
    return;
  }
  // NaN payloads must not reach integers: floats move among their own kind.
  const sources = w.buffers.filter((x) => x !== dst && x.dtype === dst.dtype);
  if (sources.length === 0) return;
  const src = pick(rng, sources);
  w.k.copy(dst, randomIndex(w, dst, count), src, randomIndex(w, src, count), count);
}

function statement(w: Writer, depth: number): void {
  const { rng } = w;
  const type = pick(rng, w.types);
  const options: (() => void)[] = [
    () => store(w),
    () => store(w),
    () => void w.scope.push(w.k.let("t", b.unary("abs", randomExpr(w, type, 3)))),
    () => {
      const reg = w.k.reg("r", randomExpr(w, type, 2));
      w.scope.push(reg);
      w.registers.push(reg);
    },
    () => {
      if (w.registers.length === 0) return;
      const reg = pick(rng, w.registers);
      w.k.set(reg, randomExpr(w, reg.type, 3));
    },
    () => move(w),
  ];
  if (depth > 0) {
    options.push(
      () => loop(w, depth),
      () => loop(w, depth),
      () => {
        const cond = randomExpr(w, "i32", 2);
        w.k.if(
          cond,
          () => block(w, depth - 1),
          () => (rng.int(2) === 0 ? block(w, depth - 1) : undefined),
        );
      },
    );
  }
  pick(rng, options)();
}

/** Numbers with a few special ones; integers over their whole range. */
function fillBuffer(memory: ArrayBuffer, base: number, buffer: Buffer, rng: Rng): void {
  const bytes = new Uint8Array(memory, base, buffer.size * sizeOf(buffer.dtype));
  if (!isFloat(buffer.dtype)) {
    bytes.forEach((_, i) => {
      bytes[i] = rng.int(buffer.dtype === "bool" ? 2 : 256);
    });
    return;
  }
  const data = DTYPES[buffer.dtype].view(memory, base, buffer.size);
  for (let i = 0; i < buffer.size; i++) {
    const special = pick(rng, [Number.POSITIVE_INFINITY, -0, 1e-40, Number.NaN]);
    const x = rng.int(16) === 0 ? special : rng.normal() * 4;
    data[i] = buffer.dtype === "f16" ? toF16(x) : buffer.dtype === "bf16" ? toBf16(x) : x;
  }
}

/** A kernel drawn from `rng`: the same seed gives the same kernel. */
export function randomKernel(rng: Rng, options: RandomKernelOptions = {}): RandomKernel {
  const k = new KernelBuilder(`random${rng.int(1000000)}`);
  const dtypes = Array.from({ length: 4 }, () => pick(rng, DTYPE_NAMES));
  const buffers = [
    ...dtypes.map((d, i) => k.buffer(`in${i}`, d, SIZE, "in")),
    ...dtypes.map((d, i) => k.buffer(`out${i}`, d, SIZE, "out")),
    k.buffer("bytes", "i8", SIZE, "out"),
    k.buffer("words", "i32", SIZE, "out"),
    k.buffer("reals", "f32", SIZE, "out"),
  ];
  const n = k.arg("n", "i32");
  const x = k.arg("x", "f32");
  const writer: Writer = {
    rng,
    k,
    buffers,
    scope: [n, x],
    registers: [],
    loops: [],
    made: [],
    maths: options.maths ?? true,
    types: options.vectors === false ? SCALARS : [...SCALARS, ...VECTORS],
    budget: 24,
  };
  for (let i = 0; i < 4; i++) block(writer, 3);
  const kernel = k.build();
  const bases: number[] = [];
  let memoryBytes = 0;
  for (const buffer of buffers) {
    bases.push(memoryBytes);
    memoryBytes += alignUp(buffer.size * sizeOf(buffer.dtype), 16);
  }
  const contents = new ArrayBuffer(memoryBytes);
  buffers.forEach((buffer, i) => {
    fillBuffer(contents, bases[i]!, buffer, rng);
  });
  const args = [rng.int(4), Math.fround(rng.normal())];
  return { kernel, memoryBytes, bases, args, memory: () => contents.slice(0) };
}

/** The first buffer element in which two memories differ (NaNs are equal), or null. */
export function difference(r: RandomKernel, a: ArrayBufferLike, c: ArrayBufferLike): string | null {
  for (const [i, buffer] of r.kernel.buffers.entries()) {
    const view = DTYPES[buffer.dtype].view;
    const x = view(a, r.bases[i]!, buffer.size);
    const y = view(c, r.bases[i]!, buffer.size);
    const decode = (bits: number | bigint): number | bigint => {
      if (buffer.dtype === "f16") return fromF16(Number(bits));
      return buffer.dtype === "bf16" ? fromBf16(Number(bits)) : bits;
    };
    for (let e = 0; e < buffer.size; e++) {
      const p = decode(x[e]!);
      const q = decode(y[e]!);
      if (!Object.is(p, q)) return `${buffer.name}[${e}]: ${p} and ${q}`;
    }
  }
  return null;
}
