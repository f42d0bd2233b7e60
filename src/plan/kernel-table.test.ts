import assert from "node:assert/strict";
import { test } from "node:test";
import { f32, KernelBuilder } from "../kernel/build.ts";
import type { Kernel } from "../kernel/ir.ts";
import { KernelTable } from "./kernel-table.ts";

function store(name: string, value: number): Kernel {
  const k = new KernelBuilder(name);
  k.store(k.buffer("y", "f32", 1, "out"), 0, f32(value));
  return k.build();
}

test("equal kernels are one, whatever their names", () => {
  const table = new KernelTable();
  assert.equal(table.intern(store("a", 1)), table.intern(store("b", 1)));
  assert.equal(table.kernels.length, 1);
});

test("constants that JSON does not tell apart stay apart", () => {
  const table = new KernelTable();
  const values = [0, -0, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  assert.deepEqual(
    values.map((v) => table.intern(store("k", v))),
    [0, 1, 2, 3, 4],
  );
});
