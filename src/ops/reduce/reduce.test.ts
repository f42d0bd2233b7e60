/** @file The corners of reductions, and the integer definitions against results of TensorFlow Lite. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { evalTensors, inferTypes } from "../../graph/apply.ts";
import type { Attrs, Op, OutQuant } from "../../graph/op.ts";
import type { DType } from "../../tensor/dtype.ts";
import { type Tensor, tensorOf, tensorType, toNumbers, withType } from "../../tensor/tensor.ts";
import { product } from "../../util/math.ts";
import {
  argMax,
  argMin,
  logSoftmax,
  reduceL2,
  reduceLogSumExp,
  reduceMax,
  reduceMean,
  reduceMin,
  reduceProd,
  reduceSum,
  softmax,
} from "./index.ts";

function run<A extends Attrs>(op: Op<A>, x: Tensor, attrs: A): number[] {
  const outs = inferTypes(op, [x.type], attrs);
  return toNumbers(evalTensors(op, [x], attrs, outs)[0]!);
}

const vector = (values: number[], dtype: DType = "f32"): Tensor =>
  tensorOf(dtype, [values.length], values);
const ALL = { axes: [0], keepDims: false } as const;
const { NaN: nan, POSITIVE_INFINITY: inf } = Number;

test("a reduction of nothing gives its neutral element", () => {
  const none = vector([]);
  assert.deepEqual(run(reduceSum, none, ALL), [0]);
  assert.deepEqual(run(reduceProd, none, ALL), [1]);
  assert.deepEqual(run(reduceMax, none, ALL), [-inf]);
  assert.deepEqual(run(reduceMin, none, ALL), [inf]);
  assert.deepEqual(run(reduceLogSumExp, none, ALL), [-inf]);
  assert.deepEqual(run(reduceMax, vector([], "i8"), ALL), [-128]);
  assert.deepEqual(run(reduceMin, vector([], "u8"), ALL), [255]);
  assert.deepEqual(run(reduceMean, none, ALL), [nan]);
});

test("max and min return NaN when an element is NaN", () => {
  assert.deepEqual(run(reduceMax, vector([1, nan, 3]), ALL), [nan]);
  assert.deepEqual(run(reduceMin, vector([1, nan, 3]), ALL), [nan]);
});

test("log_sum_exp and softmax neither overflow nor lose infinities", () => {
  assert.deepEqual(run(reduceLogSumExp, vector([1000, 1000]), ALL), [
    Math.fround(1000 + Math.log(2)),
  ]);
  assert.deepEqual(run(reduceLogSumExp, vector([-inf, -inf]), ALL), [-inf]);
  assert.deepEqual(run(reduceLogSumExp, vector([1, inf]), ALL), [inf]);
  assert.deepEqual(run(softmax, vector([1e30, 0, -inf]), { axis: 0 }), [1, 0, 0]);
  assert.deepEqual(run(logSoftmax, vector([1000, 0]), { axis: 0 }), [0, -1000]);
});

test("integers wrap, and their mean truncates", () => {
  assert.deepEqual(run(reduceSum, vector([100, 100], "i8"), ALL), [-56]);
  assert.deepEqual(run(reduceProd, vector([16, 17], "u8"), ALL), [16]);
  assert.deepEqual(run(reduceMean, vector([-3, -4], "i32"), ALL), [-3]);
  assert.deepEqual(run(reduceMean, vector([127, 126, 127], "i8"), ALL), [126]);
  assert.throws(() => run(reduceL2, vector([1, 2], "i32"), ALL), { code: "E_DTYPE" });
});

test("arg_max and arg_min: first or last of equals, the first NaN wins", () => {
  const x = vector([2, 5, 5, 2]);
  const attrs = { axis: 0, keepDims: false, selectLast: false };
  assert.deepEqual(run(argMax, x, attrs), [1]);
  assert.deepEqual(run(argMax, x, { ...attrs, selectLast: true }), [2]);
  assert.deepEqual(run(argMin, x, { ...attrs, selectLast: true }), [3]);
  assert.deepEqual(run(argMin, vector([2, nan, nan, 1]), attrs), [1]);
});

test("the index of a quantised operand is a plain integer", () => {
  const x = tensorType("i8", [4], { scale: [0.5], zeroPoint: [3], axis: null });
  const [type] = inferTypes(argMax, [x], { axis: 0, keepDims: true, selectLast: false });
  assert.deepEqual(type, tensorType("i64", [1]));
});

const quant = (scale: number, zeroPoint: number) => ({
  scale: [Math.fround(scale)],
  zeroPoint: [zeroPoint],
  axis: null,
});

/** The operand the recorded TensorFlow Lite results were made from. */
function pattern(shape: readonly number[], scale: number, zeroPoint: number): Tensor {
  const values = Array.from(
    { length: product(shape) },
    (_, i) => ((i * i * 7 + i * 11 + (i >> 3) * 29) % 251) - 125,
  );
  return withType(tensorOf("i8", shape, values), tensorType("i8", shape, quant(scale, zeroPoint)));
}

test("arith tflite: the mean over height and width, whole blocks of channels and the rest", () => {
  const x = pattern([2, 5, 4, 19], 0.05, -7);
  const out: OutQuant = { dtype: "i8", ...quant(0.031, 4) };
  const attrs = { axes: [1, 2], keepDims: true, out, arith: "tflite" } as const;
  assert.deepEqual(
    run(reduceMean, x, attrs),
    [
      9, 10, 15, 20, 7, 19, 11, 28, 67, -35, -32, 73, 18, 9, -1, 14, 11, -52, 51, -5, 36, 37, 22,
      50, -43, 30, 2, -23, 16, -5, 60, 26, 32, 23, -27, -14, 25, 22,
    ],
  );
  assert.deepEqual(
    run(reduceMean, x, { ...attrs, keepDims: false }),
    [
      10, 10, 15, 20, 7, 20, 11, 28, 68, -35, -31, 73, 19, 9, -1, 15, 12, -52, 52, -5, 37, 37, 23,
      51, -43, 31, 2, -23, 17, -4, 60, 26, 32, 23, -27, -13, 25, 23,
    ],
  );
});

test("arith tflite: that mean does not move to another layout, its rule depends on the axes", () => {
  const attrs = { axes: [1, 2], keepDims: true, arith: "tflite" } as const;
  const type = tensorType("i8", [1, 2, 3, 4]);
  assert.equal(reduceMean.permute!(attrs, [0, 3, 1, 2], [type]), null);
});

test("arith tflite: softmax", () => {
  const out: OutQuant = { dtype: "i8", ...quant(1 / 256, -128) };
  const y = run(softmax, pattern([3, 12], 0.16, 3), { axis: 1, out, arith: "tflite" });
  const want = new Array<number>(36).fill(-128);
  for (const [i, q] of [
    [5, -103],
    [11, 103],
    [23, 127],
    [25, 29],
    [27, -31],
    [30, -126],
  ] as const) {
    want[i] = q;
  }
  assert.deepEqual(y, want);
});

test("softmax of quantised values stays within one step of the real one", () => {
  const x = pattern([3, 12], 0.08, 3);
  const real = run(
    softmax,
    withType(vector(toNumbers(x).map((q) => 0.08 * (q - 3))), tensorType("f32", [3, 12])),
    { axis: 1 },
  );
  const out: OutQuant = { dtype: "u8", ...quant(1 / 255, 0) };
  run(softmax, x, { axis: 1, out }).forEach((q, i) => {
    assert.ok(Math.abs(q - real[i]! * 255) <= 0.51, `${i}: ${q}, ${real[i]! * 255}`);
  });
});
