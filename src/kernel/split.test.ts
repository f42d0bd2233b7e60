import assert from "node:assert/strict";
import { test } from "node:test";
import { assertPartsAgree } from "../../test/support/parts.ts";
import { add, affine, f32, i32, KernelBuilder, mul } from "./build.ts";
import { interpretKernel } from "./interpret.ts";
import type { Kernel } from "./ir.ts";
import { parseKernel } from "./parse.ts";
import { printKernel } from "./print.ts";
import { parallelTrips, splitKernel } from "./split.ts";
import { prepareKernel } from "./transform.ts";
import { verifyKernel } from "./verify.ts";

const PARALLEL = { parallel: true };

/** Runs the kernel as a whole and in parts on memory filled with a pattern. */
function check(kernel: Kernel, bases: readonly number[], bytes = 4096): number {
  verifyKernel(kernel);
  const before = new ArrayBuffer(bytes);
  new Float32Array(before).forEach((_, i, all) => {
    all[i] = (i * 37) % 101;
  });
  const after = before.slice(0);
  interpretKernel(kernel, after, bases, []);
  return assertPartsAgree(kernel, before, after, bases);
}

/** y[i] = x[i] * 2, in vectors and a tail. */
function scale(n: number): Kernel {
  const k = new KernelBuilder("scale");
  const x = k.buffer("x", "f32", n, "in");
  const y = k.buffer("y", "f32", n, "out");
  const whole = n - (n % 4);
  k.for("i", 0, whole, (i) => k.store(y, i, mul(k.load(x, i, "f32x4"), k.load(x, i, "f32x4"))), {
    step: 4,
    parallel: true,
  });
  k.for("i", whole, n, (i) => k.store(y, i, mul(k.load(x, i), k.load(x, i))), PARALLEL);
  return k.build();
}

/** Rows copied to scratch, then panels of each row; `rows` x `panels` of 8 elements. */
function rows(count: number, panels: number): Kernel {
  const k = new KernelBuilder("rows");
  const size = count * panels * 8;
  const x = k.buffer("x", "f32", size, "in");
  const y = k.buffer("y", "f32", size, "out");
  const work = k.buffer("work", "f32", panels * 8 + 4, "work");
  k.fill(work, panels * 8, 3, 4);
  k.for(
    "row",
    0,
    count * 2,
    (r) => {
      const at = k.let("at", mul(r, (panels * 8) / 2));
      k.copy(work, 0, x, at, panels * 8);
      k.for(
        "panel",
        0,
        panels * 4,
        (p) => {
          const sum = k.reg("sum", k.load(work, panels * 8));
          k.set(sum, add(sum, k.load(work, p)));
          k.store(y, add(at, p), sum);
        },
        PARALLEL,
      );
    },
    { step: 2, tag: "outline", parallel: true },
  );
  return k.build();
}

test("kernels computed in parts give the bytes of the whole", () => {
  assert.ok(check(scale(103), [0, 512]) > 2);
  assert.ok(check(scale(102), [0, 0]) > 2, "in place");
  for (const [r, p] of [
    [5, 3],
    [1, 9],
    [80, 1],
  ] as const) {
    assert.ok(check(rows(r, p), [0, 4096, 8192], 12288) > 2);
  }
});

test("loops are cut together until there is enough to share out", () => {
  assert.equal(parallelTrips(rows(1, 9)), 36);
  assert.equal(parallelTrips(rows(5, 3)), 60);
  assert.equal(parallelTrips(rows(80, 1)), 80, "the rows are enough");
  assert.equal(parallelTrips(scale(103)), 25);
  const text = printKernel(prepareKernel(splitKernel(scale(103))!));
  assert.match(text, /arg part: i32, arg parts: i32/);
  assert.match(text, /parallel \{/);
  assert.equal(printKernel(parseKernel(printKernel(rows(5, 3)))), printKernel(rows(5, 3)));
});

test("kernels that write results outside parallel loops are not split", () => {
  const k = new KernelBuilder("sum");
  const y = k.buffer("y", "f32", 8, "out");
  k.fill(y, 0, 1, 8);
  k.for("i", 0, 8, (i) => k.store(y, i, f32(2)), PARALLEL);
  assert.equal(splitKernel(k.build()), null);
  assert.equal(parallelTrips(k.build()), 1);
});

test("a form that cannot be split is computed by one part", () => {
  const plain = scale(16);
  const k = new KernelBuilder("form");
  const x = k.buffer("x", "f32", 16, "in");
  const y = k.buffer("y", "f32", 16, "out");
  k.for("i", 0, 16, (i) => k.store(y, i, mul(k.load(x, i), k.load(x, i))));
  const split = splitKernel({ ...plain, forms: { dot8: k.build() } })!;
  verifyKernel(split);
  const memory = new ArrayBuffer(128);
  new Float32Array(memory).fill(3, 0, 16);
  interpretKernel(split, memory, [0, 64], [1, 2], { variant: "dot8" });
  assert.equal(new Float32Array(memory)[30], 0);
  interpretKernel(split, memory, [0, 64], [0, 2], { variant: "dot8" });
  assert.equal(new Float32Array(memory)[30], 9);
});

test("what cannot be parallel is refused", () => {
  const bad = (make: (k: KernelBuilder) => void, message: RegExp): void => {
    const k = new KernelBuilder("bad");
    make(k);
    assert.throws(() => verifyKernel(k.build()), message);
  };
  bad((k) => {
    const sum = k.reg("sum", 0);
    k.for("i", 0, 4, (i) => k.set(sum, add(sum, i)), PARALLEL);
  }, /0? ?set sum: set of a register outside the parallel loop/);
  bad((k) => k.for("i", 0, 4, () => {}, { tag: "unroll", parallel: true }), /cannot be unrolled/);
  const never = { begin: i32(4), end: i32(4), step: 1, tag: "serial", parallel: true } as const;
  const body = [{ kind: "for", var: "i", ...never, body: [] }] as const;
  assert.throws(() => verifyKernel({ name: "n", buffers: [], args: [], body }), /at least once/);
});

test("an order that matters is found", () => {
  const k = new KernelBuilder("chain");
  const y = k.buffer("y", "f32", 16, "out");
  k.for("i", 1, 16, (i) => k.store(y, i, add(k.load(y, add(i, -1)), f32(1))), PARALLEL);
  assert.throws(() => check(k.build(), [0], 64), /chain in 2 parts/);
  const w = new KernelBuilder("carried");
  const out = w.buffer("out", "f32", 16, "out");
  const work = w.buffer("work", "f32", 16, "work");
  w.fill(work, 0, 0, 16);
  const one = i32(0);
  w.for(
    "i",
    0,
    16,
    (i) => {
      w.store(work, one, add(w.load(work, one), f32(1)));
      w.store(out, affine(i), w.load(work, one));
    },
    PARALLEL,
  );
  assert.throws(() => check(w.build(), [0, 64], 128), /carried in 2 parts/);
});
