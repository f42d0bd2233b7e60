/** @file Writing maths calls out keeps results; loops with many calls keep them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { add, call, KernelBuilder } from "./build.ts";
import { inlineCalls } from "./inline-calls.ts";
import { interpretKernel } from "./interpret.ts";
import type { Kernel } from "./ir.ts";
import { verifyKernel } from "./verify.ts";
import { eachExpr } from "./walk.ts";

const N = 32;

function kernel(calls: number): Kernel {
  const k = new KernelBuilder("calls");
  const x = k.buffer("x", "f32", N, "in");
  const y = k.buffer("y", "f32", N, "out");
  k.for(
    "i",
    0,
    N,
    (i) => {
      let v = k.let("v", k.load(x, i, "f32x4"));
      for (let c = 0; c < calls; c++) v = add(call("tanh", call("exp", v)), v);
      k.store(y, i, v);
    },
    { step: 4 },
  );
  return k.build();
}

function run(k: Kernel): Float32Array {
  const memory = new ArrayBuffer(8 * N);
  new Float32Array(memory, 0, N).set(Array.from({ length: N }, (_, i) => i / 4 - 2));
  interpretKernel(k, memory, [0, 4 * N], []);
  return new Float32Array(memory, 4 * N, N);
}

function callsOf(k: Kernel): number {
  let count = 0;
  eachExpr(k.body, (e) => {
    if (e.kind === "call") count++;
  });
  return count;
}

test("a few calls in a loop are written out", () => {
  const before = kernel(1);
  const after = inlineCalls(before);
  verifyKernel(after);
  assert.equal(callsOf(before), 2);
  assert.equal(callsOf(after), 0);
  assert.deepEqual(run(after), run(before));
});

test("many calls stay", () => {
  const before = kernel(2);
  assert.equal(callsOf(inlineCalls(before)), callsOf(before));
});
