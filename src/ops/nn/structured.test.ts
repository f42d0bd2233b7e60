/** @file The cosine transform, ACDC and hashed weights against their definitions and golden values. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Graph, GraphBuilder, type Value } from "../../graph/graph.ts";
import { interpret } from "../../graph/interpret.ts";
import type { Attrs, Op } from "../../graph/op.ts";
import { type Tensor, tensorOf, toNumbers } from "../../tensor/tensor.ts";
import { makeRng } from "../../util/rng.ts";
import { acdc } from "./acdc.ts";
import { dct, dctMatrix, isFast } from "./dct.ts";
import { hashPlace, hashSign, mix32 } from "./hash.ts";
import { hashedGradient, hashedWeights } from "./hashed-weights.ts";

function run<A extends Attrs>(op: Op<A>, ins: readonly Tensor[], attrs: A): number[] {
  const g = new GraphBuilder("one");
  const values: Value[] = ins.map((t, i) => g.input(`in${i}`, t.type));
  for (const v of g.applyAll(op, values, attrs)) g.output(v);
  const graph: Graph = g.build();
  return toNumbers(interpret(graph, ins)[0]!);
}

const list = (n: number, f: (i: number) => number): number[] =>
  Array.from({ length: n }, (_, i) => f(i));
const row = (xs: readonly number[]): Tensor => tensorOf("f64", [1, xs.length], xs);
const vector = (xs: readonly number[]): Tensor => tensorOf("f64", [xs.length], xs);

const near = (
  got: readonly number[],
  want: readonly number[],
  tolerance: number,
  what = "",
): void => {
  assert.equal(got.length, want.length);
  got.forEach((x, i) => {
    assert.ok(Math.abs(x - want[i]!) <= tolerance, `${what} [${i}]: ${x}, expected ${want[i]}`);
  });
};

test("acdc: the golden value of eight elements", () => {
  const y = run(
    acdc,
    [
      row([1, -2, 3, -4, 5, -6, 7, -8]),
      vector(list(8, (i) => (i + 1) / 8)),
      vector(list(8, (i) => (8 - i) / 4)),
    ],
    { form: "auto" },
  );
  const want = [
    -0.1347769733, 0.0362392276, -0.1279383011, -0.2365324626, 0.2365324626, -1.1900811836,
    1.2817802571, -8.8652230267,
  ];
  near(y, want, 5e-11);
});

test("acdc: ones are the identity; any size equals the dense product C diag C^T to 1e-12", () => {
  const rng = makeRng(3);
  for (const n of [1, 2, 5, 8, 24, 68, 128, 256, 520]) {
    const [x, a, d, b] = list(4, () => 0).map(() => list(n, () => rng.normal())) as number[][];
    const ones = vector(list(n, () => 1));
    const c = toNumbers(dctMatrix("f64", n, false));
    const wave = list(n, (k) => x!.reduce((s, v, i) => s + c[k * n + i]! * a![i]! * v, 0));
    const scaled = wave.map((v, k) => v * d![k]! + b![k]!);
    const dense = list(n, (i) => scaled.reduce((s, v, k) => s + c[k * n + i]! * v, 0));
    for (const form of ["dense", "fast"] as const) {
      const ins = [row(x!), vector(a!), vector(d!), vector(b!)];
      near(run(acdc, ins, { form }), dense, 1e-12, `${form} ${n}`);
      near(run(acdc, [row(x!), ones, ones], { form }), x!, 1e-12, `identity ${form} ${n}`);
    }
  }
});

test("dct: the fast form takes no dense product of the whole", () => {
  assert.ok(isFast(256, "fast") && !isFast(255, "fast") && !isFast(256, "dense"));
  const g = new GraphBuilder("fast");
  const x = g.input("x", { dtype: "f32", shape: [1, 1024] });
  dct.decompose!(g, [x], { inverse: false, form: "fast" });
  const macs = g.nodesFrom(0).reduce((sum, node) => {
    const types = (vs: readonly Value[]) => vs.map((v) => g.typeOf(v));
    return sum + (node.op.cost?.(types(node.ins), node.attrs, types(node.outs)).macs ?? 0);
  }, 0);
  // t(n) = t(n/2) + 2 t(n/4), down to squares of at most 64.
  assert.equal(macs, 55296);
});

test("hashes: places are spread as Poisson says, signs are even, both change with the seed", () => {
  const [size, count] = [200_000, 50_000];
  const hits = new Int32Array(count);
  let positive = 0;
  let same = 0;
  for (let i = 0; i < size; i++) {
    const at = hashPlace(i, 7, count);
    assert.ok(at >= 0 && at < count);
    hits[at]!++;
    if (hashSign(i, 7) === 1) positive++;
    if (at === hashPlace(i, 8, count)) same++;
  }
  const lambda = size / count;
  let factorial = 1;
  for (let k = 0; k <= 8; k++) {
    if (k > 0) factorial *= k;
    const expected = (count * Math.exp(-lambda) * lambda ** k) / factorial;
    const got = hits.reduce((n, h) => n + (h === k ? 1 : 0), 0);
    assert.ok(Math.abs(got - expected) < 5 * Math.sqrt(expected), `${k} hits: ${got}, ${expected}`);
  }
  assert.ok(Math.abs(positive - size / 2) < 3 * Math.sqrt(size / 4), `${positive}`);
  assert.ok(same < 40, `${same}`);
  // Known values of MurmurHash3's finaliser.
  assert.deepEqual([1, 2, 0xffffffff].map(mix32), [0x514e28b7, 0x30f4c306, 0x81f16f39]);
});

test("hashed weights: the adjoint identity, and only weights of the vector", () => {
  const rng = makeRng(5);
  const [rows, cols, count] = [13, 17, 27];
  const attrs = { shape: [rows, cols], seed: 99 };
  const w = vector(list(count, () => rng.normal()));
  const ct = tensorOf(
    "f64",
    [rows, cols],
    list(rows * cols, () => rng.normal()),
  );
  const v = run(hashedWeights, [w], attrs);
  const back = run(hashedGradient, [ct], { count, seed: 99 });
  const dot = (a: readonly number[], b: readonly number[]): number =>
    a.reduce((s, x, i) => s + x * b[i]!, 0);
  near([dot(v, toNumbers(ct))], [dot(toNumbers(w), back)], 1e-12);
  const sizes = new Set(toNumbers(w).map(Math.abs));
  assert.ok(v.every((x) => sizes.has(Math.abs(x))));
  assert.ok(new Set(v.map(Math.abs)).size > count / 2);
});
