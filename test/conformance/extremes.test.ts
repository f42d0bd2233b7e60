/** @file Minimum and maximum in one instruction mean what the interpreter computes, NaN and signed zeros included. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { add, constant, KernelBuilder, lt, max, min, select } from "../../src/kernel/build.ts";
import type { Expr } from "../../src/kernel/ir.ts";
import { extremeOf } from "../../src/targets/wasm/extremes.ts";
import { runInterpreted, runWasm } from "./harness.ts";

const VALUES = [Number.NaN, 0, -0, 1, -1, 3, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
const BOUNDS = [0, -0, 3, -1, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
const PAIRS = VALUES.flatMap((a) => VALUES.map((b) => [a, b] as const));

/** What each form makes of vectors x and y. */
const FORMS: readonly ((x: Expr, y: Expr) => Expr)[] = [
  (x, y) => select(lt(x, y), x, y),
  (x, y) => select(lt(x, y), y, x),
  ...BOUNDS.map((b) => (x: Expr) => max(x, constant("f32x4", b))),
  ...BOUNDS.map((b) => (x: Expr) => min(x, constant("f32x4", b))),
];

test("forms of minimum and maximum", async () => {
  const n = PAIRS.length;
  const k = new KernelBuilder("extremes");
  const x = k.buffer("x", "f32", n, "in");
  const y = k.buffer("y", "f32", n, "in");
  const out = k.buffer("out", "f32", n * FORMS.length, "out");
  let found = 0;
  k.for(
    "i",
    0,
    n,
    (i) => {
      const [a, b] = [k.let("a", k.load(x, i, "f32x4")), k.let("b", k.load(y, i, "f32x4"))];
      FORMS.forEach((form, f) => {
        const e = form(a, b);
        if (extremeOf(e) !== null) found++;
        k.store(out, add(i, f * n), e);
      });
    },
    { step: 4 },
  );
  assert.equal(found, FORMS.length - 1, "all but the minimum with -0");
  const kernel = k.build();
  const run = async (engine: typeof runWasm): Promise<number[]> => {
    const memory = new ArrayBuffer(4 * n * (2 + FORMS.length));
    new Float32Array(memory, 0, n).set(PAIRS.map(([a]) => a));
    new Float32Array(memory, 4 * n, n).set(PAIRS.map(([, b]) => b));
    await engine(kernel, memory, [0, 4 * n, 8 * n]);
    return Array.from(new Float32Array(memory, 8 * n));
  };
  const [want, got] = [await run(runInterpreted), await run(runWasm)];
  want.forEach((w, i) => {
    assert.ok(
      Object.is(got[i], w),
      `form ${Math.floor(i / n)} of ${PAIRS[i % n]} is ${got[i]}, expected ${w}`,
    );
  });
});
