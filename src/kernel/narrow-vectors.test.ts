/** @file Wide vectors lowered to narrow ones: the same bytes from the interpreter. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { makeRng } from "../util/rng.ts";
import {
  add,
  cast,
  constant,
  extract,
  fma,
  i32,
  KernelBuilder,
  mul,
  narrow,
  select,
  shuffle,
  splat,
  sub,
} from "./build.ts";
import { interpretKernel } from "./interpret.ts";
import { type Kernel, lanesOf } from "./ir.ts";
import { narrowVectors } from "./narrow-vectors.ts";
import { verifyKernel } from "./verify.ts";
import { eachExpr } from "./walk.ts";

const BYTES = 1024;

function run(kernel: Kernel): Uint8Array {
  const rng = makeRng(3);
  const memory = new ArrayBuffer(2 * BYTES);
  new Float32Array(memory, 0, 64).set(Array.from({ length: 64 }, () => rng.normal()));
  new Uint8Array(memory, 256, 256).set(Array.from({ length: 256 }, () => rng.int(256)));
  verifyKernel(kernel);
  interpretKernel(kernel, memory, [0, 256, BYTES], []);
  return new Uint8Array(memory);
}

function check(label: string, body: (k: KernelBuilder) => void): void {
  const k = new KernelBuilder("k");
  body(k);
  const wide = k.build();
  const lowered = narrowVectors(wide);
  eachExpr(lowered.body, (e) => {
    if (e.type.startsWith("f32x")) assert.ok(lanesOf(e.type) <= 4, `${label}: ${e.type} is left`);
  });
  assert.deepEqual(run(lowered), run(wide), label);
}

function buffers(k: KernelBuilder) {
  return {
    f: k.buffer("f", "f32", 64, "in"),
    b: k.buffer("b", "i8", 256, "in"),
    y: k.buffer("y", "f32", 256, "out"),
  };
}

test("arithmetic, splats, registers and partial stores", () => {
  check("floats", (k) => {
    const { f, y } = buffers(k);
    const acc = k.reg("acc", k.load(f, 0, "f32x16"));
    k.for("i", 0, 3, (i) => {
      const a = k.let("a", k.loadGroup(f, i, "f32x16"));
      k.set(acc, fma(a, k.load(f, add(mul(i, 8), 16), "f32x16"), acc));
    });
    k.store(y, 0, acc);
    for (const [i, lanes] of [1, 3, 4, 7, 13].entries()) k.store(y, 16 * (i + 1), acc, lanes);
    k.store(y, 100, extract(sub(acc, constant("f32x16", 2)), 9));
    k.store(y, 104, splat("f32x8", extract(acc, 3)));
    k.store(y, 120, k.loadGroup(f, 5, "f32x8", 2));
  });
});

test("a register read across its parts while it is set", () => {
  check("reverse", (k) => {
    const { f, y } = buffers(k);
    const r = k.reg("r", k.load(f, 0, "f32x8"));
    k.set(r, shuffle(r, r, [7, 6, 5, 4, 3, 2, 1, 0]));
    k.store(y, 0, r);
    const mixed = shuffle(r, k.load(f, 8, "f32x8"), [15, 0, 9, 4, 1, 12, 6, 10]);
    k.store(y, 8, mixed);
  });
});

test("integers: widening, narrowing, masks", () => {
  check("integers", (k) => {
    const { b, y } = buffers(k);
    const bytes = k.let("bytes", k.load(b, 0, "i8x32"));
    const low = cast("i16x16", "extend_low_s", bytes);
    const high = cast("i16x16", "extend_high_u", bytes);
    const words = k.let("words", narrow("i8x32", true, low, high));
    const wide = cast("i32x8", "extend_high_s", cast("i16x16", "extend_low_s", words));
    k.store(y, 0, cast("f32x8", "convert_s", wide));
    const x = k.let("x", cast("f32x8", "convert_s", k.load(b, 40, "i32x8")));
    const mask = {
      kind: "binary",
      type: "i32x8",
      op: "lt",
      a: x,
      b: constant("f32x8", 3),
    } as const;
    k.store(y, 8, select(mask, x, constant("f32x8", -1)));
    k.store(y, 16, cast("f32", "convert_s", i32(7)));
  });
});

test("a kernel of narrow vectors is left as it is", () => {
  const k = new KernelBuilder("k");
  const { f, y } = buffers(k);
  k.store(y, 0, k.load(f, 0, "f32x4"));
  const kernel = k.build();
  assert.equal(narrowVectors(kernel), kernel);
});
