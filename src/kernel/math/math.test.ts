import assert from "node:assert/strict";
import { test } from "node:test";
import { makeRng } from "../../util/rng.ts";
import { call, KernelBuilder } from "../build.ts";
import { compileKernel } from "../interpret.ts";
import type { KType } from "../ir.ts";
import { verifyKernel } from "../verify.ts";
import { MATH, mathInstance } from "./index.ts";

const word = new Int32Array(1);
const real = new Float32Array(word.buffer);
const fromBits = (b: number): number => {
  word[0] = b;
  return real[0]!;
};

/** Evaluates fn over columns of arguments through a kernel. */
function sweep(fn: string, type: KType, columns: readonly number[][]): number[] {
  const n = columns[0]!.length;
  const lanes = type === "f32x4" ? 4 : 1;
  const dtype = type === "f64" ? "f64" : "f32";
  const k = new KernelBuilder("sweep");
  const ins = columns.map((_, i) => k.buffer(`in${i}`, dtype, n, "in"));
  const out = k.buffer("out", dtype, n, "out");
  k.for("i", 0, n, (i) => k.store(out, i, call(fn, ...ins.map((b) => k.load(b, i, type)))), {
    step: lanes,
  });
  const kernel = k.build();
  verifyKernel(kernel);
  const View = dtype === "f64" ? Float64Array : Float32Array;
  const bytes = Math.ceil((n * View.BYTES_PER_ELEMENT) / 16) * 16;
  const memory = new ArrayBuffer(bytes * (columns.length + 1));
  columns.forEach((c, i) => {
    new View(memory, i * bytes, n).set(c);
  });
  const bases = Array.from({ length: columns.length + 1 }, (_, i) => i * bytes);
  compileKernel(kernel)(memory, bases, []);
  return [...new View(memory, columns.length * bytes, n)];
}

/** Distance of y from the true value in units of the last place of the f32 nearest to it. */
function ulps(y: number, want: number): number {
  const nearest = Math.fround(want);
  if (Number.isNaN(want)) return Number.isNaN(y) ? 0 : Number.POSITIVE_INFINITY;
  if (y === nearest) return Object.is(y, nearest) || y !== 0 ? 0 : 1;
  if (!Number.isFinite(nearest)) return Math.abs(y) > 3.4028e38 ? 1 : Number.POSITIVE_INFINITY;
  const exponent = Math.max(Math.floor(Math.log2(Math.abs(nearest))), -126);
  return Math.abs(y - want) / 2 ** (exponent - 23);
}

const EDGES = [0, -0, 1, -1, 0.5, -0.5, Infinity, -Infinity, NaN, 1e-45, -1e-45, 1.1e-38, 3.4e38];
EDGES.push(-3.4e38, 88.7, 88.73, -87.5, -103.9, -104.1, 1e-7, -1e-7, 16777216, 2, -2, 3, 1e10);

/** Arguments over all magnitudes and densely where functions change. */
function arguments32(n: number): number[] {
  const rng = makeRng(7);
  const out = EDGES.map(Math.fround);
  for (let i = 0; i < n; i++) out.push(fromBits(rng.int(4294967296) | 0));
  for (let i = 0; i < n; i++) out.push(Math.fround((rng.next() - 0.5) * 20));
  for (let i = 0; i < n; i++) out.push(Math.fround((rng.next() - 0.5) * 2.2));
  for (let i = 0; i < n; i++) out.push(Math.fround((rng.next() - 0.5) * 210));
  while (out.length % 4 !== 0) out.push(1);
  return out;
}

/** erf in f64: the Taylor series near 0, the continued fraction of erfc further out. */
function erf(x: number): number {
  const a = Math.abs(x);
  if (Number.isNaN(x)) return x;
  if (a > 6) return Math.sign(x);
  if (a < 2.5) {
    let sum = 0;
    let term = x;
    for (let n = 0; Math.abs(term) > 1e-18 * Math.abs(sum) || n < 3; n++) {
      sum += term / (2 * n + 1);
      term *= -(x * x) / (n + 1);
      if (n > 120) break;
    }
    return x === 0 ? x : (2 / Math.sqrt(Math.PI)) * sum;
  }
  let f = 0;
  for (let n = 200; n >= 1; n--) f = n / 2 / (a + f);
  return Math.sign(x) * (1 - Math.exp(-a * a) / Math.sqrt(Math.PI) / (a + f));
}

const floorMod = (x: number, y: number): number => {
  const r = x % y;
  if (r === 0) return y < 0 || Object.is(y, -0) ? -0 : 0;
  return r < 0 !== y < 0 ? Math.fround(r + y) : r;
};
const pow = (x: number, y: number): number =>
  x === 1 || (Math.abs(x) === 1 && Math.abs(y) === Infinity) ? 1 : x ** y;

const TRUE: Record<string, (x: number, y: number) => number> = {
  exp: Math.exp,
  exp2: (x) => 2 ** x,
  expm1: Math.expm1,
  log: Math.log,
  log1p: Math.log1p,
  tanh: Math.tanh,
  sigmoid: (x) => (x < 0 ? Math.exp(x) / (1 + Math.exp(x)) : 1 / (1 + Math.exp(-x))),
  erf,
  sin: Math.sin,
  cos: Math.cos,
  tan: Math.tan,
  asin: Math.asin,
  acos: Math.acos,
  atan: Math.atan,
  atan2: Math.atan2,
  sinh: Math.sinh,
  cosh: Math.cosh,
  asinh: Math.asinh,
  acosh: Math.acosh,
  atanh: Math.atanh,
  pow,
  fmod: (x, y) => x % y,
  floor_mod: floorMod,
};

test("every function is tested", () => assert.deepEqual(Object.keys(TRUE), Object.keys(MATH)));

for (const [name, f] of Object.entries(TRUE)) {
  test(`${name} in f32: at most 4 ulp, vectors as scalars`, (t) => {
    const count = MATH[name]!.scalar ? 1500 : 8000;
    const x = arguments32(count);
    const rng = makeRng(11);
    const order = rng.permutation(x.length);
    const y = x.map((_, i) => x[order[i]!]!);
    const columns = MATH[name]!.params.length === 2 ? [x, y] : [x];
    const got = sweep(name, "f32", columns);
    let worst = 0;
    let at = "";
    got.forEach((v, i) => {
      const e = ulps(v, f(x[i]!, y[i]!));
      if (e > worst) [worst, at] = [e, `x = ${x[i]}, y = ${y[i]}: ${v}, not ${f(x[i]!, y[i]!)}`];
    });
    t.diagnostic(`${name} f32: ${worst.toFixed(3)} ulp`);
    assert.ok(worst <= 4, `${worst} ulp at ${at}`);
    const part = columns.map((c) => c.slice(0, 1000));
    assert.deepEqual(sweep(name, "f32x4", part), got.slice(0, 1000));
  });

  test(`${name} in f64: about 1e-14`, (t) => {
    const rng = makeRng(5);
    const draw = (): number => (rng.next() - 0.5) * 10 ** (rng.int(5) - 2);
    const x = Array.from({ length: 2000 }, draw);
    const y = Array.from({ length: 2000 }, draw);
    const got = sweep(name, "f64", MATH[name]!.params.length === 2 ? [x, y] : [x]);
    let worst = 0;
    got.forEach((v, i) => {
      const want = name === "floor_mod" ? floorMod64(x[i]!, y[i]!) : f(x[i]!, y[i]!);
      if (Object.is(v, want) || v === want) return;
      worst = Math.max(worst, Math.abs(v - want) / Math.max(Math.abs(want), 1e-300));
    });
    t.diagnostic(`${name} f64: ${worst.toExponential(2)} relative`);
    assert.ok(worst < 5e-14, `${worst}`);
  });
}

const floorMod64 = (x: number, y: number): number => {
  const r = x % y;
  return r < 0 !== y < 0 ? r + y : r;
};

test("definitions are lets and one result, without loops", () => {
  for (const name of Object.keys(MATH)) {
    for (const type of ["f32", "f64", "f32x4", "f32x8"] as const) {
      const { body, result } = mathInstance(name, type);
      assert.ok(body.every((s) => s.kind === "let"));
      assert.equal(result.type, type);
    }
  }
});
