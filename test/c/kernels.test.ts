/** @file Random kernels give the same bits as C and in the interpreter. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { add, binary, KernelBuilder, mul, select, sub, unary } from "../../src/kernel/build.ts";
import { interpretKernel } from "../../src/kernel/interpret.ts";
import { type Expr, type KType, lanesOf } from "../../src/kernel/ir.ts";
import { printKernel } from "../../src/kernel/print.ts";
import type { Port, Program } from "../../src/kernel/program.ts";
import type { TypedArray } from "../../src/tensor/dtype.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { makeRng } from "../../src/util/rng.ts";
import { difference, type RandomKernel, randomKernel } from "../fuzz/random-kernel.ts";
import { CC, runC } from "../support/c-run.ts";

const COUNT = Number(process.env["FUZZ_COUNT"] ?? 100);
const FIRST = Number(process.env["FUZZ_SEED"] ?? 1);

/** All kernels in one program, each on a stretch of memory that is an input and an output. */
function programOf(kernels: readonly RandomKernel[]): Program {
  let end = 64;
  const starts = kernels.map((r) => {
    const start = end;
    end += r.memoryBytes;
    return start;
  });
  const ports = kernels.map(
    (r, i): Port => ({
      name: `k${i}`,
      type: { dtype: "u8", shape: [r.memoryBytes] },
      offset: starts[i]!,
    }),
  );
  return {
    name: "fuzz",
    kernels: kernels.map((r) => r.kernel),
    constants: [],
    init: [],
    steps: kernels.map((r, i) => ({
      kernel: i,
      bases: r.bases.map((b) => b + starts[i]!),
      args: r.args,
      label: `kernel ${i}`,
    })),
    inputs: ports,
    outputs: ports,
    memoryBytes: end,
    arenaBytes: end,
    meta: {},
  };
}

const bytes = (data: TypedArray): Tensor => ({
  type: { dtype: "u8", shape: [data.length] },
  data,
});

async function check(kernels: readonly RandomKernel[], flags: readonly string[]): Promise<void> {
  const feeds = kernels.map((r) => bytes(new Uint8Array(r.memory())));
  const [got] = await runC([{ program: programOf(kernels), feeds }], ["-std=gnu99", ...flags]);
  kernels.forEach((r, i) => {
    const expected = r.memory();
    interpretKernel(r.kernel, expected, r.bases, r.args);
    const bad = difference(r, got![i]!.data.buffer, expected);
    assert.equal(bad, null, `${bad}\n${printKernel(r.kernel)}`);
  });
}

test(`${COUNT} random kernels from seed ${FIRST} as C`, async (t) => {
  if (CC === null) return t.diagnostic("skipped: no C compiler");
  const kernels = Array.from({ length: COUNT }, (_, i) => randomKernel(makeRng(FIRST + i)));
  await check(kernels, ["-O1", "-fno-math-errno", "-ffp-contract=off"]);
});

/** Sums of products that are not fma: no bit may differ under a compiler that contracts. */
function sumsOfProducts(type: KType): RandomKernel {
  const n = 64;
  const step = lanesOf(type);
  const k = new KernelBuilder(`sums_${type}`);
  const [x, y, z] = ["x", "y", "z"].map((name) => k.buffer(name, "f32", n, "in"));
  const [p, q, r] = ["p", "q", "r"].map((name) => k.buffer(name, "f32", n, "out"));
  k.for(
    "i",
    0,
    n,
    (i) => {
      const at = [x, y, z].map((b) => k.load(b!, i, type)) as [Expr, Expr, Expr];
      const [a, b, c] = at.map((e) => k.let("t", e)) as [Expr, Expr, Expr];
      const product = k.let("product", mul(a, b));
      k.store(p!, i, add(mul(a, b), c));
      k.store(q!, i, sub(c, product));
      k.store(r!, i, add(select(binary("lt", a, b), mul(b, c), c), unary("neg", mul(a, c))));
    },
    { step },
  );
  const rng = makeRng(9);
  const data = Float32Array.from({ length: 6 * n }, (_, i) => (i < 3 * n ? rng.normal() : 0));
  return {
    kernel: k.build(),
    memoryBytes: data.byteLength,
    bases: [0, 1, 2, 3, 4, 5].map((i) => 4 * n * i),
    args: [],
    memory: () => data.slice().buffer,
  };
}

test("a compiler that contracts finds nothing to contract outside fma", async (t) => {
  const version = CC === null ? "" : String(spawnSync(CC, ["--version"]).stdout);
  const major = Number(/\(.*\) (\d+)\./.exec(version)?.[1] ?? 0);
  if (CC === null || /clang/.test(version) || major < 12) {
    return t.diagnostic("skipped: no GCC 12 or later");
  }
  const kernels = (["f32", "f32x4"] as const).map(sumsOfProducts);
  await check(kernels, ["-O2", "-march=native", "-fno-math-errno", "-ffp-contract=fast"]);
});
