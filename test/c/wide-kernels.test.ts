/** @file Operations on vectors of 32 and 64 bytes give the same bits in the interpreter and as C. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as b from "../../src/kernel/build.ts";
import { interpretKernel } from "../../src/kernel/interpret.ts";
import type { Expr, Half, Kernel, KType } from "../../src/kernel/ir.ts";
import type { Port, Program } from "../../src/kernel/program.ts";
import { verifyKernel } from "../../src/kernel/verify.ts";
import { cpuOf } from "../../src/targets/c/cpu.ts";
import { makeRng } from "../../src/util/rng.ts";
import { CC, runC } from "../support/c-run.ts";
import { compilerMacros } from "../support/compiler-macros.ts";

/** Bytes of input, and of each result. */
const IN = 256;
const SLOT = 64;

/** A kernel with one result after the other, each of a whole vector. */
function wideKernel(bytes: 32 | 64): { readonly kernel: Kernel; readonly size: number } {
  const k = new b.KernelBuilder(`wide${bytes}`);
  const [n, x] = [bytes / 4, k.buffer("x", "i8", IN, "in")];
  const results: Expr[] = [];
  const lanes = (elem: string, count: number): KType => `${elem}x${count}` as KType;
  const bytesAt = (i: number): Expr => k.load(x, i, lanes("i8", bytes));
  const words = (i: number): Expr => b.cast(lanes("i16", 2 * n), "bits", bytesAt(i));
  const ints = (i: number): Expr => b.cast(lanes("i32", n), "bits", bytesAt(i));
  const floats = (i: number): Expr =>
    b.mul(b.cast(lanes("f32", n), "convert_s", ints(i)), b.constant(lanes("f32", n), 2 ** -27));
  const f = k.let("f", floats(3));
  const zero = b.constant(lanes("i32", n), 0);
  results.push(b.dot16(words(0), words(64)), b.dot8(bytesAt(5), bytesAt(70), ints(9)));
  results.push(b.add(ints(3), b.dot16(words(0), words(64))));
  for (const half of ["low", "high", "even", "odd"] as const satisfies readonly Half[]) {
    results.push(b.extmul(lanes("i64", n / 2), half, ints(1), ints(77)));
  }
  for (const op of ["shl", "shr", "shr_u"] as const) {
    results.push(b.binary(op, ints(2), ints(90)), b.binary(op, ints(2), b.i32(5)));
  }
  for (const op of ["min", "max", "min_u", "max_u"] as const) {
    results.push(b.binary(op, bytesAt(0), bytesAt(99)), b.binary(op, ints(0), ints(98)));
  }
  for (const signed of [true, false]) {
    results.push(b.narrow(lanes("i16", 2 * n), signed, ints(0), ints(80)));
    results.push(b.narrow(lanes("i8", 4 * n), signed, words(0), words(80)));
  }
  for (const op of ["sqrt", "floor", "ceil", "trunc", "nearest", "abs"] as const) {
    results.push(b.unary(op, f));
  }
  results.push(
    b.max(f, b.constant(f.type, 0)),
    b.min(f, b.constant(f.type, 6)),
    b.max(f, floats(8)),
  );
  results.push(b.select(b.lt(ints(0), zero), ints(8), ints(4)), b.call("sigmoid", f));
  results.push(b.cast(zero.type, "trunc_sat_s", f), k.load(x, 7, lanes("i32", n)));
  results.push(
    b.cast(lanes("i32", n), "extend_high_u", words(11)),
    k.loadGroup(x, 13, lanes("i8", bytes), 4),
  );
  const reversed = Array.from({ length: n }, (_, i) => 2 * n - 1 - i);
  results.push(
    b.shuffle(ints(0), ints(70), reversed),
    b.splat(zero.type, b.extract(ints(6), n - 1)),
  );
  const y = k.buffer("y", "i8", results.length * SLOT, "out");
  results.forEach((r, i) => {
    const whole = b.cast(lanes("i8", bytes), "bits", r);
    k.store(y, i * SLOT, whole, i % 3 === 0 ? undefined : bytes - 1 - (i % 5));
  });
  return { kernel: k.build(), size: results.length * SLOT };
}

for (const [name, bytes] of [
  ["avx512vnni", 64],
  ["x86-64-v4", 64],
  ["x86-64-v3", 32],
] as const) {
  test(`vectors of ${bytes} bytes as C for ${name}`, async (t) => {
    const { kernel, size } = wideKernel(bytes);
    verifyKernel(kernel);
    const cpu = cpuOf(name);
    const macros = CC === null ? new Set<string>() : compilerMacros(CC, ["-march=native"]);
    if (CC === null || !cpu.macros.every((m) => macros.has(m))) {
      return t.diagnostic("skipped: no such processor or compiler");
    }
    const port = (label: string, length: number, offset: number): Port => ({
      name: label,
      type: { dtype: "u8", shape: [length] },
      offset,
    });
    const [from, to] = [64, 64 + IN];
    const program: Program = {
      name: "wide",
      kernels: [kernel],
      constants: [],
      init: [],
      steps: [{ kernel: 0, bases: [from, to], args: [], label: "wide" }],
      inputs: [port("x", IN, from), port("y", size, to)],
      outputs: [port("y", size, to)],
      memoryBytes: to + size,
      arenaBytes: to + size,
      meta: {},
    };
    const rng = makeRng(7);
    const memory = new Uint8Array(to + size);
    for (let i = from; i < to; i++) memory[i] = rng.int(256);
    const tensor = (start: number, end: number) => ({
      type: { dtype: "u8" as const, shape: [end - start] },
      data: memory.slice(start, end),
    });
    const feeds = [tensor(from, to), tensor(to, to + size)];
    const flags = ["-std=gnu99", "-O1", "-fno-math-errno", "-ffp-contract=off", "-Wall", "-Wextra"];
    const [got] = await runC([{ program, feeds }], [...flags, ...cpu.flags], { cpu: name });
    // The instruction of VNNI reads the second operand as unsigned; the other forms as signed.
    const dot8 = cpu.dot8 ? "unsigned" : "signed";
    interpretKernel(kernel, memory.buffer, [from, to], [], { dot8 });
    assert.deepEqual(got![0]!.data, memory.slice(to));
  });
}
