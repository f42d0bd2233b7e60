import assert from "node:assert/strict";
import { test } from "node:test";
import * as b from "./build.ts";
import { KernelBuilder } from "./build.ts";
import { compileKernel, interpretKernel } from "./interpret.ts";
import type { Expr, KType } from "./ir.ts";
import { verifyKernel } from "./verify.ts";

/** Stores vector or scalar `e` into a buffer of `dtype` and returns its elements. */
function evaluate(
  e: Expr,
  dtype: "i8" | "i16" | "i32" | "i64" | "f32" | "f64",
): (number | bigint)[] {
  const k = new KernelBuilder("eval");
  const out = k.buffer("out", dtype, 16, "out");
  k.store(out, 0, e);
  const kernel = k.build();
  verifyKernel(kernel);
  const memory = new ArrayBuffer(128);
  interpretKernel(kernel, memory, [0], []);
  const views = {
    i8: Int8Array,
    i16: Int16Array,
    i32: Int32Array,
    i64: BigInt64Array,
    f32: Float32Array,
    f64: Float64Array,
  };
  return [...new views[dtype](memory)];
}
const scalar = (e: Expr, dtype: "i32" | "i64" | "f32" | "f64"): number | bigint =>
  evaluate(e, dtype)[0]!;

test("integers wrap, shift modulo the width, divide toward zero", () => {
  const opaque = (x: number): Expr => b.unary("neg", b.i32(-x));
  assert.equal(scalar(b.add(opaque(2147483647), 1), "i32"), -2147483648);
  assert.equal(scalar(b.binary("shl", opaque(1), 33), "i32"), 2);
  assert.equal(scalar(b.binary("div", opaque(-7), 2), "i32"), -3);
  assert.equal(scalar(b.binary("rem", opaque(-7), 2), "i32"), -1);
  assert.equal(scalar(b.binary("div_u", opaque(-1), 2), "i32"), 2147483647);
  assert.equal(scalar(b.unary("clz", b.i64(1n)), "i64"), 63n);
  assert.equal(scalar(b.binary("mul", b.i64(1n << 62n), b.i64(2n)), "i64"), -(1n << 63n));
  assert.throws(() => scalar(b.binary("div", opaque(1), opaque(0)), "i32"), /division by zero/);
});

test("floats round to their type; min and max order -0 and pass NaN on", () => {
  assert.equal(scalar(b.add(b.f32(16777216), b.f32(1)), "f32"), 16777216);
  assert.ok(Object.is(scalar(b.min(b.f32(0), b.f32(-0)), "f32"), -0));
  assert.ok(Number.isNaN(scalar(b.max(b.f32(Number.NaN), b.f32(1)), "f32")));
  assert.ok(Object.is(scalar(b.unary("nearest", b.f32(-0.5)), "f32"), -0));
  assert.equal(scalar(b.unary("nearest", b.f32(2.5)), "f32"), 2);
  const nan = b.f32(Number.NaN);
  assert.equal(scalar(b.cast("i32", "trunc_sat_s", nan), "i32"), 0);
  assert.equal(scalar(b.cast("i32", "trunc_sat_u", b.f32(3e9)), "i32"), 3000000000 | 0);
  // 2^60 + 2^36 + 1 lies just above the midpoint of two f32: rounding through f64 would go down.
  const above = b.i64((1n << 60n) + (1n << 36n) + 1n);
  assert.equal(scalar(b.cast("f32", "convert_s", above), "f32"), 2 ** 60 + 2 ** 37);
});

test("vectors: saturating narrow, products, dots, shuffles", () => {
  const v = (type: KType, ...x: number[]): Expr => b.lanes(type, x);
  const wide = v("i16x8", 300, -300, 1, 2, 3, 4, 5, 6);
  assert.deepEqual(evaluate(b.narrow("i8x16", true, wide, wide), "i8").slice(0, 3), [127, -128, 1]);
  assert.deepEqual(evaluate(b.narrow("i8x16", false, wide, wide), "i8").slice(0, 3), [-1, 0, 1]);
  const x = v("i16x8", 32767, 2, 3, 4, 5, 6, 7, 8);
  assert.deepEqual(evaluate(b.dot16(x, x), "i32").slice(0, 4), [32767 * 32767 + 4, 25, 61, 113]);
  assert.deepEqual(evaluate(b.extmul("i32x4", "high", x, x), "i32").slice(0, 4), [25, 36, 49, 64]);
  const q = v("i32x4", 1, 2, 3, -4);
  assert.deepEqual(evaluate(b.extmul("i64x2", "high", q, q), "i64").slice(0, 2), [9n, 16n]);
  assert.deepEqual(evaluate(b.shuffle(q, q, [7, 0, 5, 2]), "i32").slice(0, 4), [-4, 1, 2, 3]);
  const mask = b.lt(q, v("i32x4", 2, 2, 2, 2));
  assert.deepEqual(
    evaluate(b.select(mask, q, b.constant("i32x4", 9)), "i32").slice(0, 4),
    [1, 9, 9, -4],
  );
});

test("dot8 reads its second operand as the engine does", () => {
  const k = new KernelBuilder("dot");
  const out = k.buffer("out", "i32", 4, "out");
  const ones = b.constant("i8x16", 1);
  k.store(out, 0, b.dot8(ones, b.constant("i8x16", -1), b.constant("i32x4", 10)));
  const kernel = k.build();
  verifyKernel(kernel);
  const memory = new ArrayBuffer(16);
  interpretKernel(kernel, memory, [0], []);
  assert.equal(new Int32Array(memory)[0], 6);
  interpretKernel(kernel, memory, [0], [], { dot8: "unsigned" });
  assert.equal(new Int32Array(memory)[0], 10 + 4 * 255);
});

test("loads widen and repeat, stores of some lanes leave the rest", () => {
  const k = new KernelBuilder("memory");
  const src = k.buffer("src", "u8", 16, "in");
  const half = k.buffer("half", "f16", 8, "in");
  const wide = k.buffer("wide", "i32", 8, "out");
  const real = k.buffer("real", "f32", 4, "out");
  const bytes = k.buffer("bytes", "u8", 16, "out");
  k.store(wide, 0, k.load(src, 0, "i32x4"));
  k.store(wide, 4, k.loadGroup(src, 1, "i32x4", 2));
  k.store(real, 0, k.load(half, 0, "f32x4"));
  k.store(bytes, 0, k.loadGroup(src, 0, "i8x16", 4), 8);
  const kernel = k.build();
  verifyKernel(kernel);
  const memory = new ArrayBuffer(96);
  new Uint8Array(memory).set([255, 1, 2, 3]);
  new Uint16Array(memory, 16).set([0x3c00, 0xc000, 0x0001, 0x7c00]);
  interpretKernel(kernel, memory, [0, 16, 32, 64, 80], []);
  assert.deepEqual([...new Int32Array(memory, 32, 8)], [255, 1, 2, 3, 1, 2, 1, 2]);
  assert.deepEqual([...new Float32Array(memory, 64, 4)], [1, -2, 2 ** -24, Infinity]);
  assert.deepEqual([...new Uint8Array(memory, 80, 10)], [255, 1, 2, 3, 255, 1, 2, 3, 0, 0]);
});

test("access outside a buffer and overlapping copies throw", () => {
  const k = new KernelBuilder("outside");
  const x = k.buffer("x", "f32", 4, "out");
  const i = k.arg("i", "i32");
  k.store(x, i, b.f32(1));
  const run = compileKernel(k.build());
  const memory = new ArrayBuffer(64);
  run(memory, [0], [3]);
  assert.throws(() => run(memory, [0], [4]), /buffer x \(size 4\).*in kernel outside/);
  const c = new KernelBuilder("overlap");
  const y = c.buffer("y", "i8", 16, "out");
  c.copy(y, 1, y, 0, 8);
  assert.throws(() => interpretKernel(c.build(), memory, [0], []), /overlaps/);
});

test("a convolution-like loop nest with registers runs at a usable speed", () => {
  const k = new KernelBuilder("matmul");
  const n = 64;
  const x = k.buffer("x", "f32", n * n, "in");
  const y = k.buffer("y", "f32", n * n, "in");
  const z = k.buffer("z", "f32", n * n, "out");
  k.for("i", 0, n, (i) =>
    k.for("j", 0, n, (j) => {
      const acc = k.reg("acc", b.f32(0));
      k.for("p", 0, n, (p) =>
        k.set(acc, b.fma(k.load(x, b.affine([i, n], p)), k.load(y, b.affine([p, n], j)), acc)),
      );
      k.store(z, b.affine([i, n], j), acc);
    }),
  );
  const kernel = k.build();
  verifyKernel(kernel);
  const memory = new ArrayBuffer(3 * n * n * 4);
  const data = new Float32Array(memory);
  data.forEach((_, i) => {
    data[i] = (i % 17) - 8;
  });
  interpretKernel(kernel, memory, [0, n * n * 4, 2 * n * n * 4], []);
  let want = 0;
  for (let p = 0; p < n; p++) want += data[3 * n + p]! * data[n * n + p * n + 5]!;
  assert.equal(data[2 * n * n + 3 * n + 5], want);
});

test("the verifier names kernel and statement", () => {
  const bad = (make: (k: KernelBuilder) => void, message: RegExp): void => {
    const k = new KernelBuilder("bad");
    make(k);
    assert.throws(() => verifyKernel(k.build()), message);
  };
  bad((k) => {
    const x = k.buffer("x", "f32", 4, "out");
    k.store(x, 4, b.f32(0));
  }, /kernel bad, 0 store x: elements 4\.\.4/);
  bad((k) => {
    const x = k.buffer("x", "f32", 4, "out");
    k.for("i", 0, 4, (i) => k.store(x, i, i));
  }, /0 for i > 0 store x: store of i32 into f32/);
  bad((k) => k.set(k.let("y", b.add(k.arg("n", "i32"), 1)), 2), /y is not a register/);
  bad((k) => k.let("y", b.add(b.variable("z", "i32"), 1)), /z is not defined/);
  bad((k) => k.let("y", b.unary("sqrt", k.arg("n", "i32"))), /sqrt on i32/);
});
