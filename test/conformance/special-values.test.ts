/**
 * @file Element-wise operators on NaN, infinities, signed zeros, tiny and huge values; interpreter
 * and wasm.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { evalTensors, inferTypes } from "../../src/graph/apply.ts";
import type { Op } from "../../src/graph/op.ts";
import { elementwiseOps } from "../../src/ops/elementwise/index.ts";
import { type Tensor, tensorOf, toNumbers } from "../../src/tensor/tensor.ts";
import { runInterpreted, runOnKernel, runWasm } from "./harness.ts";

const magnitudes = [
  0, 1e-45, 1e-40, 1e-20, 0.49999997, 0.5, 1, 1.5, 2.5, 3.5, 6, 20, 88, 104, 1e10, 3e38,
];
const VALUES = [Number.NaN, ...[...magnitudes, Number.POSITIVE_INFINITY].flatMap((x) => [x, -x])];

/** Sums that cancel: accurate to this much of the argument's size, not of the result's. */
const ABSOLUTE: Readonly<Record<string, number>> = { gelu: 1e-7 };

/** Same number class and sign of zero; finite values within the tolerance of `what`. */
function agrees(op: string, got: number, want: number, exact: boolean): boolean {
  if (Object.is(got, want)) return true;
  if (exact || Number.isNaN(got) || Number.isNaN(want)) return false;
  const close = Math.abs(got - want) <= 1e-5 * Math.abs(want) + (ABSOLUTE[op] ?? 1e-37);
  // An overflow may round to infinity a little earlier or later.
  const huge = Math.abs(got) > 3.4e38 && Math.abs(want) > 3.4e38 && got > 0 === want > 0;
  return close || huge;
}

async function check(op: Op, attrs: object, ins: readonly Tensor[]): Promise<void> {
  const inTypes = ins.map((t) => t.type);
  const types = inferTypes(op, inTypes, attrs);
  const want = toNumbers(evalTensors(op, ins, attrs, types)[0]!);
  const kernel = op.lower!(inTypes, attrs, types);
  const exact = op.samples.some((s) => s.tolerance === 0 && s.ins[0]!.dtype === "f32");
  for (const run of [runInterpreted, runWasm]) {
    const got = toNumbers((await runOnKernel(kernel, ins, types, run))[0]!);
    want.forEach((w, i) => {
      const args = ins.map((t) => t.data[i]).join(", ");
      const what = `${op.name}(${args}) ${JSON.stringify(attrs)}`;
      assert.ok(agrees(op.name, got[i]!, w, exact), `${what} is ${got[i]}, expected ${w}`);
    });
  }
}

for (const op of Object.values(elementwiseOps) as Op[]) {
  const sample = op.samples.find((s) => s.ins.every((t) => t.dtype === "f32"));
  if (sample === undefined) continue;
  const attrSets = new Map(
    op.samples
      .filter((s) => !("out" in s.attrs))
      .map((s) => [JSON.stringify(s.attrs), s.attrs] as const),
  );
  test(`special values: ${op.name}`, async () => {
    for (const attrs of attrSets.values()) {
      if (sample.ins.length === 1) {
        await check(op, attrs, [tensorOf("f32", [VALUES.length], VALUES)]);
        continue;
      }
      const n = VALUES.length;
      const left = VALUES.flatMap((x) => VALUES.map(() => x));
      const right = VALUES.flatMap(() => VALUES);
      await check(op, attrs, [tensorOf("f32", [n * n], left), tensorOf("f32", [n * n], right)]);
    }
  });
}
