/** @file Random kernels give the same bits as C and in the interpreter. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { interpretKernel } from "../../src/kernel/interpret.ts";
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

test(`${COUNT} random kernels from seed ${FIRST} as C`, (t) => {
  if (CC === null) return t.diagnostic("skipped: no C compiler");
  const kernels = Array.from({ length: COUNT }, (_, i) => randomKernel(makeRng(FIRST + i)));
  const feeds = kernels.map((r) => bytes(new Uint8Array(r.memory())));
  const flags = ["-std=gnu99", "-O1", "-fno-math-errno", "-ffp-contract=off"];
  const [got] = runC([{ program: programOf(kernels), feeds }], flags);
  kernels.forEach((r, i) => {
    const expected = r.memory();
    interpretKernel(r.kernel, expected, r.bases, r.args);
    const bad = difference(r, got![i]!.data.buffer, expected);
    assert.equal(bad, null, `seed ${FIRST + i}: ${bad}\n${printKernel(r.kernel)}`);
  });
});
