import assert from "node:assert/strict";
import { test } from "node:test";
import { KernelBuilder } from "./build.ts";
import { interpretKernel } from "./interpret.ts";
import { parseKernel } from "./parse.ts";
import { printKernel } from "./print.ts";
import { prepareKernel } from "./transform.ts";
import { verifyKernel } from "./verify.ts";

const HEAD = "kernel k(const w: f32[8], out y: f32[8], arg n: i32, arg a: f32) {\n";

/** Runs a kernel body before and after preparation; the results must agree. Returns both. */
function prepared(body: string, args: readonly number[]): { values: number[]; text: string } {
  const kernel = parseKernel(`${HEAD}${body}\n}\n`);
  const after = prepareKernel(kernel);
  verifyKernel(kernel);
  verifyKernel(after);
  const run = (k: typeof kernel): number[] => {
    const memory = new ArrayBuffer(64);
    new Float32Array(memory, 0, 8).set([1, 2, 3, 4, 5, 6, 7, 8]);
    interpretKernel(k, memory, [0, 32], args);
    return [...new Float32Array(memory, 32, 8)];
  };
  const values = run(after);
  assert.deepEqual(values, run(kernel));
  return { values, text: printKernel(after) };
}

test("a repeated expression of a register is computed again after set", () => {
  const { values } = prepared(
    `reg r = a
    store y[0] = sqrt((r + 1:f32))
    set r = (r * 4:f32)
    store y[1] = sqrt((r + 1:f32))
    if lt(n, 3) {
      store y[2] = sqrt((r + 1:f32))
      set r = 0:f32
    } else {
      store y[3] = sqrt((r + 1:f32))
    }
    store y[4] = sqrt((r + 1:f32))`,
    [1, 2],
  );
  assert.deepEqual(values.slice(0, 5), [3, 9, 9, 0, 1].map(Math.sqrt).map(Math.fround));
});

test("a value computed in one branch is not used in the other", () => {
  prepared(
    `if n {
      store y[0] = sqrt((a * a))
      store y[1] = sqrt((a * a))
    } else {
      store y[2] = sqrt((a * a))
    }
    store y[3] = sqrt((a * a))`,
    [0, 3],
  );
});

test("loads stay inside loops and branches that may not run", () => {
  const { text } = prepared("for i = 0 to n {\n store y[i] = w[(n + 100)]\n}", [0, 1]);
  assert.match(text, /for i = 0 to n \{\n {4}store y\[i\] = w\[/);
  prepared("for i = 0 to 4 {\n if gt(n, 5) {\n store y[i] = w[(n * 50)]\n }\n}", [1, 1]);
});

test("loads of constants leave loops that surely run; loads of what is written stay", () => {
  const { text } = prepared("for i = 0 to 8 {\n store y[i] = ((w[n] + y[0]) + 1:f32)\n}", [2, 1]);
  assert.match(text, /let h\d* = w\[n\]\n {2}for i = 0 to 8 \{\n {4}store y\[i\] = \(\(h/);
});

test("loads are repeated after store, copy and fill", () => {
  const { values } = prepared(
    `store y[0] = a
    store y[1] = sqrt(y[0])
    copy y[0] = w[3] count 1
    store y[2] = sqrt(y[0])
    fill y[0] = 25 count 1
    store y[3] = sqrt(y[0])
    store y[0] = 36:f32
    store y[4] = sqrt(y[0])`,
    [0, 9],
  );
  assert.deepEqual(values.slice(0, 5), [36, 3, 2, 5, 6]);
});

test("only what occurs twice gets a name", () => {
  const { text } = prepared(
    `let u = a
    store y[0] = u
    reg r = a
    for i = 0 to 8 {
      set r = (r + (w[i] * u))
      store y[i] = (sqrt((w[i] * u)) + r)
    }`,
    [0, 2],
  );
  assert.equal(text.match(/let /g)?.length, 1, text);
  assert.match(text, /let s = \(w\[i\] \* a\)\n {4}set r = \(r \+ s\)/);
});

test("unrolled bodies keep their own names", () => {
  const { values, text } = prepared(
    `for i = 0 to 4 unroll {
      let t = (w[i] * a)
      for j = 0 to 2 unroll {
        store y[((i * 2) + j)] = (t + w[j])
      }
    }`,
    [0, 10],
  );
  assert.deepEqual(values, [11, 12, 21, 22, 31, 32, 41, 42]);
  assert.ok(!text.includes("for "));
  assert.equal(text.match(/ = w\[/g)?.length, 2);
});

test("a copy of a register keeps the value it had", () => {
  const k = new KernelBuilder("copy");
  const y = k.buffer("y", "i32", 4, "out");
  const r = k.reg("r", 1);
  const old = k.let("old", r);
  k.set(r, 2);
  k.store(y, 0, old);
  k.store(y, 1, r);
  for (const kernel of [k.build(), prepareKernel(k.build())]) {
    const memory = new ArrayBuffer(16);
    interpretKernel(kernel, memory, [0], []);
    assert.deepEqual([...new Int32Array(memory, 0, 2)], [1, 2]);
  }
});

test("preparing a large unrolled kernel takes milliseconds, not seconds", () => {
  const k = new KernelBuilder("large");
  const x = k.buffer("x", "f32", 65536, "in");
  const y = k.buffer("y", "f32", 4096, "out");
  k.for("i", 0, 16, (i) =>
    k.for(
      "j",
      0,
      24,
      (j) =>
        k.for(
          "q",
          0,
          24,
          (q) => {
            const at = k.let("at", parseIndex(i, j, q));
            k.store(y, at, k.load(x, at));
          },
          { tag: "unroll" },
        ),
      { tag: "unroll" },
    ),
  );
  const start = performance.now();
  verifyKernel(prepareKernel(k.build()));
  assert.ok(performance.now() - start < 1500);
});

type E = ReturnType<KernelBuilder["arg"]>;
const parseIndex = (i: E, j: E, q: E): E => {
  const times = (a: E, value: number): E => ({
    kind: "binary",
    type: "i32",
    op: "mul",
    a,
    b: { kind: "const", type: "i32", value },
  });
  const plus = (a: E, b: E): E => ({ kind: "binary", type: "i32", op: "add", a, b });
  return plus(plus(times(i, 64), times(j, 24)), q);
};
