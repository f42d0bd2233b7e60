/** @file Neural operators where the samples cannot tell: costs, refusals, known values. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { evalTensors, inferTypes } from "../../graph/apply.ts";
import type { Attrs, Op } from "../../graph/op.ts";
import {
  type Tensor,
  type TensorType,
  tensorOf,
  tensorType,
  toNumbers,
} from "../../tensor/tensor.ts";
import { UserError } from "../../util/errors.ts";
import { averagePool } from "./average-pool.ts";
import { type ConvAttrs, conv } from "./conv.ts";
import { convTranspose } from "./conv-transpose.ts";
import { linear } from "./linear.ts";
import { matmul } from "./matmul.ts";
import { maxPool } from "./max-pool.ts";
import { nonMaxSuppression } from "./non-max-suppression.ts";
import { f32t, outQuant, perChannel, quantised, typed } from "./samples.ts";
import { windowCount } from "./spatial.ts";

const plain: ConvAttrs = {
  layout: "nchw",
  stride: [1, 1],
  padBegin: [1, 1],
  padEnd: [1, 1],
  dilation: [1, 1],
  groups: 1,
};

function run<A extends Attrs>(op: Op<A>, ins: readonly Tensor[], attrs: A): number[][] {
  const types = inferTypes(
    op,
    ins.map((t) => t.type),
    attrs,
  );
  return evalTensors(op, ins, attrs, types).map(toNumbers);
}

function refusal<A extends Attrs>(op: Op<A>, ins: readonly TensorType[], attrs: A): string {
  try {
    inferTypes(op, ins, attrs);
  } catch (error) {
    assert.ok(error instanceof UserError, String(error));
    return error.code;
  }
  return "accepted";
}

test("multiply-accumulates count padding and leave bias out", () => {
  const macs = (op: Op, ins: readonly TensorType[], attrs: Attrs): number =>
    op.cost!(ins, attrs, inferTypes(op, ins, attrs)).macs;
  const w = f32t(8, 3, 3, 3);
  assert.equal(macs(conv as Op, [f32t(1, 3, 10, 10), w, f32t(8)], plain), 100 * 8 * 27);
  const grouped = { ...plain, groups: 3, stride: [2, 2] };
  assert.equal(macs(conv as Op, [f32t(2, 3, 10, 10), f32t(6, 1, 3, 3)], grouped), 2 * 25 * 6 * 9);
  assert.equal(macs(linear as Op, [f32t(2, 3, 7), f32t(5, 7)], {}), 6 * 7 * 5);
  assert.equal(macs(matmul as Op, [f32t(4, 3, 7), f32t(7, 5)], {}), 4 * 3 * 7 * 5);
  const transposed = { ...plain, outputPad: [0, 0] };
  const ins = [f32t(1, 3, 4, 4), f32t(3, 2, 3, 3)];
  assert.equal(macs(convTranspose as Op, ins, transposed), 16 * 3 * 2 * 9);
});

test("what does not fit is refused", () => {
  const x = f32t(1, 3, 8, 8);
  assert.equal(refusal(conv, [x, f32t(4, 2, 3, 3)], plain), "E_SHAPE");
  assert.equal(refusal(conv, [x, f32t(4, 3, 3, 3), f32t(5)], plain), "E_SHAPE");
  assert.equal(refusal(conv, [x, f32t(4, 3, 11, 3)], plain), "E_SHAPE");
  assert.equal(refusal(conv, [x, typed("f64", 4, 3, 3, 3)], plain), "E_DTYPE");
  assert.equal(refusal(conv, [x, f32t(4, 3, 3, 3)], { ...plain, stride: [1] }), "E_MODEL");
  const q = quantised("i8", [1, 3, 8, 8], 0.1, 0);
  const w = perChannel("i8", [4, 3, 3, 3], 0, 0.1);
  const out = outQuant("i8", 0.1, 0);
  assert.equal(refusal(conv, [q, w], { ...plain, out }), "accepted");
  assert.equal(refusal(conv, [q, w], plain), "E_DTYPE");
  assert.equal(refusal(conv, [q, f32t(4, 3, 3, 3)], { ...plain, out }), "E_DTYPE");
  const sideways = perChannel("i8", [4, 3, 3, 3], 1, 0.1);
  assert.equal(refusal(conv, [q, sideways], { ...plain, out }), "E_DTYPE");
  assert.equal(refusal(conv, [q, w, f32t(4)], { ...plain, out }), "E_DTYPE");
  assert.equal(refusal(matmul, [f32t(2, 3), f32t(2, 3)], {}), "E_SHAPE");
  assert.equal(refusal(linear, [f32t(2, 3), f32t(5, 4)], {}), "E_SHAPE");
  const pool = { ...plain, kernel: [2, 2] };
  assert.equal(refusal(maxPool, [tensorType("bool", [1, 3, 8, 8])], pool), "E_DTYPE");
  assert.equal(refusal(averagePool, [typed("i32", 1, 3, 8, 8)], pool), "E_DTYPE");
});

test("a rounded-up window count never starts in the end padding", () => {
  assert.equal(windowCount(4, 3, 2, 1, 0, 0), 1);
  assert.equal(windowCount(4, 3, 2, 1, 0, 0, true), 2);
  assert.equal(windowCount(2, 1, 2, 1, 0, 1), 2);
  assert.equal(windowCount(2, 1, 2, 1, 0, 1, true), 1);
});

test("a quantised convolution ignores padding and rounds as the arithmetic says", () => {
  const x = { ...tensorOf("i8", [1, 1, 1, 3], [13, 14, 15]) };
  const w = tensorOf("i8", [1, 1, 1, 3], [1, 1, 1]);
  const qx: Tensor = { type: quantised("i8", [1, 1, 1, 3], 0.5, 10), data: x.data };
  const qw: Tensor = { type: quantised("i8", [1, 1, 1, 3], 1, 0), data: w.data };
  const attrs = { ...plain, padBegin: [0, 1], padEnd: [0, 1], out: outQuant("i8", 1, 3) };
  // Sums are 7, 12, 9, halved: 3.5 and 4.5 are the ties.
  assert.deepEqual(run(conv, [qx, qw], attrs), [[7, 9, 7]]);
  assert.deepEqual(run(conv, [qx, qw], { ...attrs, arith: "tflite" }), [[7, 9, 8]]);
});

test("8-bit means of TensorFlow Lite round halves away from zero", () => {
  const type = quantised("i8", [1, 1, 2, 3], 0.1, 4);
  const x: Tensor = { type, data: Int8Array.of(1, 2, -1, -2, -3, 0) };
  const attrs = { layout: "nchw", kernel: [1, 2], stride: [1, 1] } as const;
  const pads = { padBegin: [0, 0], padEnd: [0, 0], arith: "tflite" } as const;
  assert.deepEqual(run(averagePool, [x], { ...attrs, ...pads }), [[2, 1, -3, -2]]);
});

test("non_max_suppression fills unused rows with -1", () => {
  const boxes = tensorOf("f32", [1, 3, 4], [0, 0, 1, 1, 0, 0, 1, 1.1, 0, 5, 1, 6]);
  const scores = tensorOf("f32", [1, 1, 3], [0.8, 0.9, 0.7]);
  const attrs = {
    maxOutput: 3,
    maxPerClass: 3,
    iouThreshold: 0.5,
    scoreThreshold: 0,
    centerPointBox: false,
  };
  const [rows, count] = run(nonMaxSuppression, [boxes, scores], attrs);
  assert.deepEqual(rows, [0, 0, 1, 0, 0, 2, -1, -1, -1]);
  assert.deepEqual(count, [2]);
});
