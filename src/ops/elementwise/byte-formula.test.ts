/** @file Short formulas for two bytes: equal to the definition for every pair, or refused. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { evalTensors, inferTypes } from "../../graph/apply.ts";
import type { Op } from "../../graph/op.ts";
import { interpretKernel } from "../../kernel/interpret.ts";
import { type QuantParams, type Tensor, tensorType, zeros } from "../../tensor/tensor.ts";
import { makeRng } from "../../util/rng.ts";
import { add } from "./add.ts";
import type { ArithmeticAttrs } from "./arithmetic-op.ts";
import { byteFormula } from "./byte-formula.ts";
import { mul } from "./mul.ts";
import { sub } from "./sub.ts";

/** Every pair of bytes: [256, 1] against [1, 256]. */
function allBytes(dtype: "i8" | "u8", shape: readonly number[], quant: QuantParams): Tensor {
  const t = zeros(tensorType(dtype, shape, quant));
  for (let i = 0; i < 256; i++) t.data[i] = i - (dtype === "i8" ? 128 : 0);
  return t;
}

const OPS: readonly Op<ArithmeticAttrs>[] = [add, sub, mul];

for (const arith of ["float", "tflite"] as const) {
  test(`kernels of two bytes equal eval for all pairs, arith ${arith}`, () => {
    const rng = makeRng(arith === "float" ? 3 : 4);
    // Scales in simple ratios put many results on halves; the last is rounded twice in steps.
    const scales = [
      [0.5, 0.25, 0.5],
      [0.1, 0.1, 0.2],
      [0.011, 0.0173, 0.031],
    ];
    for (const op of OPS) {
      for (const scale of scales) {
        const quant = scale.map((s) => ({
          scale: [Math.fround(s)],
          zeroPoint: [rng.int(200) - 100],
          axis: null,
        }));
        const ins = [allBytes("i8", [256, 1], quant[0]!), allBytes("i8", [1, 256], quant[1]!)];
        const types = ins.map((t) => t.type);
        const attrs: ArithmeticAttrs = { arith, out: { dtype: "i8", ...quant[2]! } };
        const outs = inferTypes(op, types, attrs);
        const want = evalTensors(op, ins, attrs, outs)[0]!;
        const memory = new ArrayBuffer(512 + 65536);
        ins.forEach((t, i) => {
          new Int8Array(memory, 256 * i, 256).set(t.data as Int8Array);
        });
        interpretKernel(op.lower!(types, attrs, outs), memory, [0, 256, 512], []);
        assert.deepEqual(new Int8Array(memory, 512), want.data, `${op.name} ${scale}`);
      }
    }
  });
}

test("a formula that one pair refutes is not used", () => {
  const quant = (scale: number): QuantParams => ({ scale: [scale], zeroPoint: [0], axis: null });
  const pair = {
    dtypes: ["i8", "i8", "i8"],
    quant: [quant(1), quant(1), quant(4)],
  } as const;
  const exact = (a: number, b: number): number =>
    Math.max(-128, Math.min(127, Math.floor((a + b) / 4 + 0.5)));
  // Halves go up: no factor around the multiplier moves negative ones so.
  assert.equal(byteFormula("sum", pair, exact), null);
  const even = (a: number, b: number): number => Math.round((a + b) / 4 - 1e-9);
  assert.equal(byteFormula("sum", pair, even), null);
  const away = (a: number, b: number): number =>
    Math.max(-128, Math.min(127, Math.sign(a + b) * Math.floor(Math.abs(a + b) / 4 + 0.5)));
  assert.notEqual(byteFormula("sum", pair, away), null);
});
