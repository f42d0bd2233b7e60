/** @file The corners of the operators that move elements, against values known from ONNX and NumPy. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { evalTensors, inferTypes } from "../../graph/apply.ts";
import type { Attrs, Op } from "../../graph/op.ts";
import { interpretKernel } from "../../kernel/interpret.ts";
import type { Kernel, Stmt } from "../../kernel/ir.ts";
import {
  byteSize,
  bytesOf,
  type Tensor,
  type TensorType,
  tensorOf,
  tensorType,
  toNumbers,
  withType,
} from "../../tensor/tensor.ts";
import { UserError } from "../../util/errors.ts";
import { range } from "./check.ts";
import {
  cumSum,
  gather,
  oneHot,
  pad,
  reshape,
  scatterElements,
  scatterNd,
  slice,
  topK,
  transpose,
  trilu,
} from "./index.ts";

function run<A extends Attrs>(op: Op<A>, ins: readonly Tensor[], attrs: A): number[][] {
  const types = ins.map((t) => t.type);
  return evalTensors(op, ins, attrs, inferTypes(op, types, attrs)).map(toNumbers);
}

/** Runs the lowered kernel of an op whose single result is f32. */
function runKernel(kernel: Kernel, ins: readonly Tensor[], out: TensorType): number[] {
  const sizes = [...ins.map((t) => byteSize(t.type)), byteSize(out)];
  const bases = sizes.map((_, i) => 1024 * i);
  const memory = new ArrayBuffer(1024 * sizes.length);
  ins.forEach((t, i) => {
    new Uint8Array(memory).set(bytesOf(t), bases[i]);
  });
  interpretKernel(kernel, memory, bases, []);
  return [...new Float32Array(memory, bases.at(-1), byteSize(out) / 4)];
}

const iota = (shape: number[]): Tensor =>
  tensorOf("f32", shape, range(shape.reduce((a, b) => a * b, 1)));
const f32 = (values: number[]): Tensor => tensorOf("f32", [values.length], values);
const i64 = (shape: number[], values: number[]): Tensor => tensorOf("i64", shape, values);

/** Kinds of the statements in a kernel, loops included. */
function kinds(body: readonly Stmt[]): string[] {
  return body.flatMap((s) => [s.kind, ...(s.kind === "for" ? kinds(s.body) : [])]);
}

test("pad: the four modes on one row", () => {
  const row = f32([1, 2, 3]);
  const at = (mode: "constant" | "reflect" | "edge" | "wrap"): number[] =>
    run(pad, [row], { before: [4], after: [2], mode, value: 9 })[0]!;
  assert.deepEqual(at("constant"), [9, 9, 9, 9, 1, 2, 3, 9, 9]);
  assert.deepEqual(at("reflect"), [1, 2, 3, 2, 1, 2, 3, 2, 1]);
  assert.deepEqual(at("edge"), [1, 1, 1, 1, 1, 2, 3, 3, 3]);
  assert.deepEqual(at("wrap"), [3, 1, 2, 3, 1, 2, 3, 1, 2]);
});

test("pad: the value of a quantised operand is a real, and negative amounts crop", () => {
  const type = tensorType("i8", [3], { scale: [0.5], zeroPoint: [10], axis: null });
  const x = withType(tensorOf("i8", [3], [1, 2, 3]), type);
  const attrs = { before: [2], after: [-1], mode: "constant", value: -1.5 } as const;
  assert.deepEqual(run(pad, [x], attrs)[0], [7, 7, 1, 2]);
  const zero = { before: [1], after: [0], mode: "constant" } as const;
  assert.deepEqual(run(pad, [x], zero)[0], [10, 1, 2, 3]);
});

test("slice: a negative step runs backwards and out of range is refused", () => {
  const attrs = { start: [4], size: [3], step: [-2] };
  assert.deepEqual(run(slice, [iota([5])], attrs)[0], [4, 2, 0]);
  const beyond = { start: [3], size: [3], step: [1] };
  assert.throws(() => run(slice, [iota([5])], beyond), { code: "E_SHAPE" });
});

test("gather: negative indices wrap; out of range is E_DATA, and clamped in compiled code", () => {
  const x = iota([3, 2]);
  assert.deepEqual(run(gather, [x, i64([2], [-1, 0])], { axis: 0 })[0], [4, 5, 0, 1]);
  const wrong = i64([2], [3, -9]);
  assert.throws(
    () => run(gather, [x, wrong], { axis: 0 }),
    (e) => e instanceof UserError && e.code === "E_DATA",
  );
  const types = [x.type, wrong.type];
  const [out] = inferTypes(gather, types, { axis: 0 });
  const kernel = gather.lower!(types, { axis: 0 }, [out!]);
  assert.deepEqual(runKernel(kernel, [x, wrong], out!), [4, 5, 0, 1]);
});

test("scatter: updates of one element apply in order", () => {
  const ins = [f32([1, 1, 1]), i64([4], [1, 1, 2, -2]), f32([2, 3, 4, 5])];
  const at = (reduction: "none" | "add" | "mul"): number[] =>
    run(scatterElements, ins, { axis: 0, reduction })[0]!;
  assert.deepEqual(at("none"), [1, 5, 4]);
  assert.deepEqual(at("add"), [1, 11, 5]);
  assert.deepEqual(at("mul"), [1, 30, 4]);
  const nd = [iota([2, 2]), i64([1, 1], [1]), tensorOf("f32", [1, 2], [8, 9])];
  assert.deepEqual(run(scatterNd, nd, { reduction: "none" })[0], [0, 1, 8, 9]);
});

test("scatter: quantised elements are moved, never added", () => {
  const quant = { scale: [0.5], zeroPoint: [0], axis: null };
  const t = tensorType("i8", [3], quant);
  const ins = [t, tensorType("i64", [3]), t];
  assert.deepEqual(inferTypes(scatterElements, ins, { axis: 0, reduction: "max" }), [t]);
  assert.throws(() => inferTypes(scatterElements, ins, { axis: 0, reduction: "add" }), {
    code: "E_DTYPE",
  });
});

test("one_hot: indices outside -depth..depth-1 light nothing", () => {
  const ins = [i64([4], [0, -1, 3, -4]), f32([2, 5])];
  const [y] = run(oneHot, ins, { axis: 1, depth: 3 });
  assert.deepEqual(y, [5, 2, 2, 2, 2, 5, 2, 2, 2, 2, 2, 2]);
});

test("top_k: equal elements keep the order of their indices, NaN comes last", () => {
  const x = f32([2, Number.NaN, 7, 2, 7]);
  const attrs = { axis: 0, k: 5, largest: true, sorted: true };
  const [values, indices] = run(topK, [x], attrs);
  assert.deepEqual(values, [7, 7, 2, 2, Number.NaN]);
  assert.deepEqual(indices, [2, 4, 0, 3, 1]);
});

test("cum_sum: exclusive and reverse as ONNX has them", () => {
  const at = (exclusive: boolean, reverse: boolean): number[] =>
    run(cumSum, [f32([1, 2, 3, 4])], { axis: 0, exclusive, reverse })[0]!;
  assert.deepEqual(at(false, false), [1, 3, 6, 10]);
  assert.deepEqual(at(true, false), [0, 1, 3, 6]);
  assert.deepEqual(at(false, true), [10, 9, 7, 4]);
  assert.deepEqual(at(true, true), [9, 7, 4, 0]);
});

test("trilu: k moves the diagonal", () => {
  const x = iota([2, 3]);
  assert.deepEqual(run(trilu, [x], { upper: true, k: 1 })[0], [0, 1, 2, 0, 0, 5]);
  assert.deepEqual(run(trilu, [x], { upper: false, k: -1 })[0], [0, 0, 0, 3, 0, 0]);
});

test("transpose: axes that stay together are copied as runs, f32 blocks are turned in registers", () => {
  const lower = (shape: number[], perm: number[]): string[] => {
    const types = [tensorType("f32", shape)];
    return kinds(transpose.lower!(types, { perm }, inferTypes(transpose, types, { perm })).body);
  };
  assert.deepEqual(lower([2, 1, 3, 40], [1, 0, 2, 3]), ["for", "copy"]);
  assert.ok(lower([4, 3, 40], [1, 0, 2]).includes("copy"));
  const stores = lower([1, 32, 8, 8], [0, 2, 3, 1]).filter((kind) => kind === "store");
  assert.equal(stores.length, 4);
});

test("reshape: wrong element counts and -1 are refused, preserved axes keep their letter", () => {
  const x = tensorType("f32", [2, 3, 4]);
  assert.throws(() => inferTypes(reshape, [x], { shape: [5, 5] }), { code: "E_SHAPE" });
  assert.throws(() => inferTypes(reshape, [x], { shape: [2, -1] }), { code: "E_SHAPE" });
  assert.equal(reshape.axes!([x], { shape: [2, 12] }), "abc->ad");
  assert.equal(reshape.axes!([x], { shape: [6, 1, 4] }), "abc->dec");
});
