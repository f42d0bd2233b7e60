import assert from "node:assert/strict";
import { test } from "node:test";
import { makeRng } from "../util/rng.ts";
import {
  multiplyByQuantizedMultiplier,
  quantizeMultiplier,
  roundingDivideByPot,
  roundingDoublingHighMul,
} from "./fixed-point.ts";

/** The published definition: truncating division of the nudged 64-bit product. */
function highMulReference(a: number, b: number): number {
  const ab = BigInt(a) * BigInt(b);
  const nudge = ab >= 0n ? 1n << 30n : 1n - (1n << 30n);
  return Number((ab + nudge) / (1n << 31n));
}

function divideByPotReference(x: number, exponent: number): number {
  const mask = 2 ** exponent - 1;
  const remainder = x & mask;
  const threshold = (mask >> 1) + (x < 0 ? 1 : 0);
  return (x >> exponent) + (remainder > threshold ? 1 : 0);
}

test("the high multiply and the rounding shift follow their definitions", () => {
  const rng = makeRng(1);
  for (let i = 0; i < 20000; i++) {
    const a = (rng.int(2 ** 32) >> rng.int(32)) | 0;
    const b = 2 ** 30 + rng.int(2 ** 30);
    assert.equal(roundingDoublingHighMul(a, b), highMulReference(a, b), `${a} * ${b}`);
    const e = rng.int(31);
    assert.equal(roundingDivideByPot(a, e), divideByPotReference(a, e), `${a} >> ${e}`);
  }
  for (const a of [0, 1, -1, 2 ** 31 - 1, -(2 ** 31)]) {
    assert.equal(roundingDoublingHighMul(a, 2 ** 30), highMulReference(a, 2 ** 30));
  }
});

test("the split reproduces the multiplier to 31 bits", () => {
  assert.deepEqual(quantizeMultiplier(1), { multiplier: 2 ** 30, shift: 1 });
  assert.deepEqual(quantizeMultiplier(0.75), { multiplier: 0.75 * 2 ** 31, shift: 0 });
  assert.deepEqual(quantizeMultiplier(0), { multiplier: 0, shift: 0 });
  assert.deepEqual(quantizeMultiplier(1 - 2 ** -40), { multiplier: 2 ** 30, shift: 1 });
  assert.deepEqual(quantizeMultiplier(2 ** -40), { multiplier: 0, shift: 0 });
  const rng = makeRng(2);
  for (let i = 0; i < 2000; i++) {
    const real = 2 ** (rng.next() * 40 - 30);
    const m = quantizeMultiplier(real);
    assert.ok(m.multiplier >= 2 ** 30 && m.multiplier < 2 ** 31);
    assert.ok(Math.abs((m.multiplier / 2 ** 31) * 2 ** m.shift - real) <= real * 2 ** -30);
  }
});

test("rescaling rounds twice, as TensorFlow Lite does", () => {
  // 3 * 0.5 = 1.5: the high multiply gives 2 (3 * 2^30 / 2^31 rounded up), no shift follows.
  assert.equal(multiplyByQuantizedMultiplier(3, { multiplier: 2 ** 30, shift: 0 }), 2);
  assert.equal(multiplyByQuantizedMultiplier(-3, { multiplier: 2 ** 30, shift: 0 }), -1);
  // 5 * 0.125 * 2 = 0.625 twice rounded: 5 * 0.5 -> 3, 3 / 4 -> 1.
  assert.equal(multiplyByQuantizedMultiplier(5, { multiplier: 2 ** 30, shift: -2 }), 1);
  assert.equal(multiplyByQuantizedMultiplier(100, quantizeMultiplier(2.5)), 250);
});
