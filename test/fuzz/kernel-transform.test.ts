/** @file Transforms keep the meaning of random kernels; every algebra rule holds on random values. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { KernelBuilder } from "../../src/kernel/build.ts";
import { inlineCalls } from "../../src/kernel/inline-calls.ts";
import { interpretKernel } from "../../src/kernel/interpret.ts";
import type { Expr } from "../../src/kernel/ir.ts";
import { printKernel } from "../../src/kernel/print.ts";
import { PARSED_RULES } from "../../src/kernel/rules.ts";
import { prepareKernel, TRANSFORMS } from "../../src/kernel/transform.ts";
import { verifyKernel } from "../../src/kernel/verify.ts";
import { makeRng, type Rng } from "../../src/util/rng.ts";
import { difference, type RandomKernel, randomKernel } from "./random-kernel.ts";

const FIRST_SEED = Number(process.env["FUZZ_SEED"] ?? 1);
const COUNT = Number(process.env["FUZZ_COUNT"] ?? 200);

/** Every third kernel runs in place: its outputs lie where its inputs do. */
function drawKernel(seed: number): RandomKernel {
  const r = randomKernel(makeRng(seed), { maths: seed % 2 === 0 });
  const copies = printKernel(r.kernel).includes("copy ");
  if (seed % 3 !== 0 || copies) return r;
  return { ...r, bases: r.bases.map((base, i) => (i < 4 ? r.bases[i + 4]! : base)) };
}

function result(r: RandomKernel, kernel = r.kernel): ArrayBuffer {
  const memory = r.memory();
  interpretKernel(kernel, memory, r.bases, r.args);
  return memory;
}

/** Each with the share of kernels it changes at least; few have loops that call. */
const CASES = [
  ...TRANSFORMS.map((t) => ({ ...t, least: 0.1 })),
  { name: "inline-calls", run: inlineCalls, least: 0.01 },
  { name: "prepare", run: prepareKernel, least: 0.1 },
];

for (const { name, run, least } of CASES) {
  test(`${name} keeps the memory of ${COUNT} random kernels from seed ${FIRST_SEED}`, () => {
    let changed = 0;
    for (let seed = FIRST_SEED; seed < FIRST_SEED + COUNT; seed++) {
      const r = drawKernel(seed);
      const after = run(r.kernel);
      const text = (): string => `seed ${seed}\n${printKernel(r.kernel)}\n${printKernel(after)}`;
      try {
        verifyKernel(after);
      } catch (error) {
        assert.fail(`${error}\n${text()}`);
      }
      const different = difference(r, result(r), result(r, after));
      assert.equal(different, null, `${different}\n${text()}`);
      if (printKernel(after) !== printKernel(r.kernel)) changed++;
    }
    assert.ok(changed > COUNT * least, `${name} changed only ${changed} kernels`);
  });
}

const EDGES = [0, 1, -1, 2, 31, 32, 2147483647, -2147483648, 65535, 255];
const draw = (rng: Rng): number => {
  const x = rng.int(4294967296) | 0;
  return rng.int(2) === 0 ? EDGES[rng.int(EDGES.length)]! : x >> rng.int(32);
};

test("every rule holds on random and extreme values", () => {
  for (const rule of PARSED_RULES) {
    const k = new KernelBuilder("rule");
    const names = ["x", "y", "z", "c", "d"];
    for (const n of names) k.arg(n, "i32");
    const out = k.buffer("out", "i32", 2, "out");
    k.store(out, 0, rule.pattern);
    k.store(out, 1, rule.replacement);
    const kernel = k.build();
    const memory = new ArrayBuffer(16);
    const rng = makeRng(1);
    const divides = rule.text.startsWith("div") || rule.text.startsWith("rem");
    for (let i = 0; i < 300; i++) {
      const args = names.map(() => draw(rng));
      if (rule.pow2) args[3] = (1 << rng.int(31)) >>> 0;
      if (divides && args[3] === 0) continue;
      interpretKernel(kernel, memory, [0], args);
      const [a, b] = new Int32Array(memory);
      assert.equal(a, b, `${rule.text} with ${names.map((n, j) => `${n} = ${args[j]}`)}`);
    }
  }
});

test("indices of a convolution: inner loops add one term", () => {
  const k = new KernelBuilder("conv");
  const x = k.buffer("x", "f32", 4096, "in");
  const w = k.buffer("w", "f32", 1024, "const");
  const y = k.buffer("y", "f32", 1024, "out");
  k.for("i", 0, 8, (i) =>
    k.for("j", 0, 8, (j) => {
      const acc = k.reg("acc", { kind: "const", type: "f32", value: 0 });
      k.for(
        "p",
        0,
        3,
        (p) =>
          k.for("q", 0, 16, (q) => {
            const index = plus(plus(times(plus(i, p), 64), times(j, 4)), q);
            const weight = k.load(w, plus(times(p, 16), q));
            const product: Expr = {
              kind: "fma",
              type: "f32",
              a: k.load(x, index),
              b: weight,
              c: acc,
            };
            k.set(acc, product);
          }),
        { tag: "unroll" },
      );
      k.store(y, plus(times(i, 8), j), acc);
    }),
  );
  const prepared = prepareKernel(k.build());
  verifyKernel(prepared);
  const text = printKernel(prepared);
  const inner = text.match(/set acc = .*/g) ?? [];
  assert.equal(inner.length, 3);
  for (const line of inner) assert.ok(!line.includes("*"), text);
});

const plus = (a: Expr, b: Expr): Expr => ({ kind: "binary", type: "i32", op: "add", a, b });
const times = (a: Expr, b: number): Expr => ({
  kind: "binary",
  type: "i32",
  op: "mul",
  a,
  b: { kind: "const", type: "i32", value: b },
});
