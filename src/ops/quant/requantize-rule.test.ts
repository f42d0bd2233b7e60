/** @file Requantisation: known values, and the kernel forms against the JavaScript one. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Arith } from "../../graph/op.ts";
import { add, KernelBuilder } from "../../kernel/build.ts";
import { interpretKernel } from "../../kernel/interpret.ts";
import type { Expr } from "../../kernel/ir.ts";
import type { QuantParams } from "../../tensor/tensor.ts";
import { clamp } from "../../util/math.ts";
import { makeRng } from "../../util/rng.ts";
import {
  activationRange,
  LOOSE_STEPS,
  type RequantRule,
  type RequantTable,
  requantRule,
  tableConstant,
} from "./requantize-rule.ts";

const perTensor = (scale: number, zeroPoint = 0): QuantParams => ({
  scale: [Math.fround(scale)],
  zeroPoint: [zeroPoint],
  axis: null,
});
const perChannel = (scale: readonly number[]): QuantParams => ({
  scale: scale.map(Math.fround),
  zeroPoint: scale.map(() => 0),
  axis: 0,
});

const CHANNELS = 4;

/** Runs rule.expr on accumulators, `lanes` at a time; accumulator i belongs to channel i % 4. */
function runExpr(
  rule: RequantRule,
  accs: Int32Array,
  lanes: 1 | 4,
  form: "expr" | "loose" = "expr",
): Int32Array {
  const tables = lanes === 1 ? rule.tables : rule.vectorTables!;
  const k = new KernelBuilder("requantize");
  const input = k.buffer("in", "i32", accs.length, "in");
  const output = k.buffer("out", "i32", accs.length, "out");
  const buffers = tables.map((t) => k.buffer(t.name, t.dtype, CHANNELS, "in"));
  const type = lanes === 1 ? "i32" : "i32x4";
  k.for(
    "i",
    0,
    accs.length,
    (i) => {
      k.for(
        "c",
        0,
        CHANNELS,
        (c) => {
          const at = k.let("at", add(i, c));
          const acc = k.let("acc", k.load(input, at, type));
          const params = tables.map((t, j) => param(k, t, buffers[j]!, c, acc, lanes));
          k.store(output, at, rule[form](acc, params));
        },
        { step: lanes },
      );
    },
    { step: CHANNELS },
  );
  const kernel = k.build();
  const bytes = accs.length * 4;
  const memory = new ArrayBuffer(2 * bytes + 16 * tables.length);
  new Int32Array(memory, 0, accs.length).set(accs);
  tables.forEach((t, j) => {
    const values = Array.from({ length: CHANNELS }, (_, c) => t.values[c % t.values.length]!);
    const view = t.dtype === "f32" ? Float32Array : Int32Array;
    new view(memory, 2 * bytes + 16 * j, CHANNELS).set(values);
  });
  const bases = [0, bytes, ...tables.map((_, j) => 2 * bytes + 16 * j)];
  interpretKernel(kernel, memory, bases, []);
  return new Int32Array(memory, bytes, accs.length);
}

function param(
  k: KernelBuilder,
  t: RequantTable,
  buffer: ReturnType<KernelBuilder["buffer"]>,
  c: Expr,
  acc: Expr,
  lanes: 1 | 4,
): Expr {
  if (t.values.length === 1) return tableConstant(t, acc);
  return k.let("p", lanes === 1 ? k.load(buffer, c) : k.load(buffer, c, `${t.dtype}x4`));
}

test("rounding of the two arithmetics at a tie", () => {
  const half = [perTensor(0.5), perTensor(1), perTensor(1)] as const;
  const float = requantRule(...half, "i8", undefined, "float");
  const tflite = requantRule(...half, "i8", undefined, "tflite");
  const rounded = (rule: RequantRule): number[] => [1, 3, -1, -3, -5].map((a) => rule.js(a, 0));
  assert.deepEqual(rounded(float), [0, 2, 0, -2, -2]);
  assert.deepEqual(rounded(tflite), [1, 2, 0, -1, -2]);
});

test("a fused activation narrows the range", () => {
  const out = perTensor(0.1, 5);
  assert.deepEqual(activationRange("i8", out, undefined), [-128, 127]);
  assert.deepEqual(activationRange("i8", out, { fn: "relu" }), [5, 127]);
  assert.deepEqual(activationRange("i8", out, { fn: "clip", min: -0.25, max: 6 }), [2, 65]);
  assert.deepEqual(
    activationRange("u8", perTensor(1, 250), { fn: "clip", min: 0, max: 6 }),
    [250, 255],
  );
  assert.throws(() => activationRange("i8", out, { fn: "tanh" }), /cannot be fused/);
});

test("kernel forms give what js gives", () => {
  const seed = 7;
  const rng = makeRng(seed);
  for (let round = 0; round < 60; round++) {
    const arith: Arith = round % 2 === 0 ? "float" : "tflite";
    const scale = (): number => 2 ** (-9 * rng.next() - (round % 3) * 4);
    const several = Array.from({ length: CHANNELS }, scale);
    const w = round % 4 < 2 ? perTensor(scale()) : perChannel(several);
    const act = round % 5 === 0 ? { fn: "relu" } : undefined;
    const out = perTensor(0.02 + rng.next(), rng.int(256) - 128);
    const rule = requantRule(perTensor(scale()), w, out, "i8", act, arith);
    const spread = 2 ** (4 + rng.int(27));
    const accs = Int32Array.from({ length: 64 }, () => (rng.next() - 0.5) * 2 * spread);
    accs.set([0, 1, -1, 2147483647, -2147483648]);
    const want = Array.from(accs, (a, i) => rule.js(a, i % CHANNELS) + 0);
    const note = `seed ${seed}, round ${round}`;
    assert.deepEqual([...runExpr(rule, accs, 1)], want, `${note}: scalar`);
    assert.ok(rule.vectorTables !== null, note);
    assert.deepEqual([...runExpr(rule, accs, 4)], want, `${note}: lanes`);
    const loose = runExpr(rule, accs, 4, "loose");
    accs.forEach((a, i) => {
      const m = rule.multiplier[i % rule.multiplier.length]!;
      if (Math.abs(a) >= rule.looseReach || Math.abs(a) * m >= LOOSE_STEPS) return;
      assert.equal(clamp(loose[i]!, rule.lo, rule.hi), want[i], `${note}: loose, ${a}`);
    });
  }
});
