import assert from "node:assert/strict";
import { test } from "node:test";
import { add, f32, KernelBuilder, min } from "./build.ts";
import { effortOf, worthSharing } from "./effort.ts";
import type { Kernel } from "./ir.ts";
import type { Program } from "./program.ts";
import { shareProgram, worthThreads } from "./threads.ts";
import { verifyProgram } from "./verify-program.ts";

/** y[i] = x[i] + 1, `rounds` times over, with two pieces of scratch. */
function busy(n: number, rounds: number): Kernel {
  const k = new KernelBuilder("busy");
  const x = k.buffer("x", "f32", n, "in");
  const first = k.buffer("first", "f32", 5, "work");
  const y = k.buffer("y", "f32", n, "out");
  const second = k.buffer("second", "i8", 130, "work");
  k.fill(first, 0, 1, 5);
  k.fill(second, 0, 1, 130);
  k.forParallel("i", 0, n, (i) => {
    k.for("j", 0, rounds, () => k.store(y, i, add(k.load(x, i), k.load(first, 0))));
  });
  return k.build();
}

function programOf(...kernels: Kernel[]): Program {
  const type = { dtype: "f32", shape: [1000] } as const;
  const bases = [64, 12800, 4096, 13312];
  return {
    ...{ name: "p", kernels, constants: [], init: [], meta: {} },
    steps: kernels.map((_, kernel) => ({ kernel, bases, args: [], label: "" })),
    inputs: [{ name: "x", type, offset: 64 }],
    outputs: [{ name: "y", type, offset: 4096 }],
    memoryBytes: 16384,
    arenaBytes: 0,
  };
}

test("large programs are shared: split kernels, scratch of their own, calls of the whole", () => {
  const program = programOf(busy(1000, 2000), busy(1000, 1));
  assert.ok(worthThreads(program));
  const shared = shareProgram(program)!;
  verifyProgram(shared.program);
  assert.deepEqual(shared.scratch, [[null, 0, null, 128], null]);
  assert.equal(shared.scratchBytes, 128 + 256);
  assert.deepEqual(
    shared.program.steps.map((s) => s.args),
    [[0, 1], []],
  );
});

test("small programs are left alone, unless everything is to be shared", () => {
  const program = programOf(busy(1000, 1));
  assert.equal(worthThreads(program), false);
  assert.equal(shareProgram(program), null);
  assert.deepEqual(shareProgram(program, true)!.scratch.length, 1);
});

test("work is counted where bounds are computed", () => {
  assert.ok(worthSharing(busy(1000, 100)));
  assert.ok(!worthSharing(busy(1000, 1)));
  const k = new KernelBuilder("blocks");
  const y = k.buffer("y", "f32", 100, "out");
  k.forParallel(
    "from",
    0,
    100,
    (from) => {
      const to = k.let("to", min(add(from, 10), 100));
      k.for("i", from, to, (i) => k.store(y, i, f32(1)));
    },
    { step: 10 },
  );
  const effort = effortOf(k.build());
  assert.ok(effort >= 100 && effort < 130, `${effort} for 100 stores`);
});
