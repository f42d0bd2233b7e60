/**
 * @file The kernel forms of fixed-point rescaling give the integers of src/tensor/fixed-point.ts.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { KernelBuilder } from "../../kernel/build.ts";
import { interpretKernel } from "../../kernel/interpret.ts";
import {
  type FixedPoint,
  multiplyByQuantizedMultiplier,
  quantizeMultiplier,
  type Ties,
} from "../../tensor/fixed-point.ts";
import { makeRng } from "../../util/rng.ts";
import { mulByFixedPoint, mulByFixedPointDynamic } from "./fixed-point-expr.ts";

const N = 64;

/** All three forms on N values: scalar, scalar with run-time parameters, i32x4. */
function run(values: Int32Array, m: FixedPoint, ties: Ties): readonly Int32Array[] {
  const b = new KernelBuilder("rescale");
  const x = b.buffer("x", "i32", N, "in");
  const outs = ["scalar", "dynamic", "vector"].map((name) => b.buffer(name, "i32", N, "out"));
  const multiplier = b.arg("multiplier", "i32");
  const shift = b.arg("shift", "i32");
  b.for("i", 0, N, (i) => {
    const v = b.let("v", b.load(x, i));
    b.store(outs[0]!, i, mulByFixedPoint(v, m, ties));
    b.store(outs[1]!, i, mulByFixedPointDynamic(v, multiplier, shift, ties));
  });
  b.for("i", 0, N, (i) => b.store(outs[2]!, i, mulByFixedPoint(b.load(x, i, "i32x4"), m, ties)), {
    step: 4,
  });
  const memory = new ArrayBuffer(4 * N * 4);
  new Int32Array(memory).set(values);
  const bases = [0, 1, 2, 3].map((k) => k * N * 4);
  interpretKernel(b.build(), memory, bases, [m.multiplier, m.shift]);
  return [1, 2, 3].map((k) => new Int32Array(memory, k * N * 4, N));
}

test("every kernel form agrees with the definition", () => {
  const rng = makeRng(5);
  for (let round = 0; round < 60; round++) {
    const m =
      round === 0 ? { multiplier: 0, shift: 0 } : quantizeMultiplier(2 ** (rng.next() * 36 - 30));
    const values = Int32Array.from({ length: N }, () => rng.int(2 ** 32) >> rng.int(32));
    const ties = round % 2 === 0 ? "away" : "up";
    const want = Array.from(values, (v) => multiplyByQuantizedMultiplier(v, m, ties));
    run(values, m, ties).forEach((got, form) => {
      assert.deepEqual(
        Array.from(got),
        want,
        `form ${form}, multiplier ${m.multiplier}, shift ${m.shift}`,
      );
    });
  }
});
