/**
 * @file The 8-bit integer arithmetic of add, sub and mul against values TensorFlow Lite's
 * reference kernels gave.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { evalTensors, inferTypes } from "../../graph/apply.ts";
import { type Tensor, tensorType, toNumbers, zeros } from "../../tensor/tensor.ts";
import { UserError } from "../../util/errors.ts";
import { add } from "./add.ts";
import type { ArithmeticAttrs } from "./arithmetic-op.ts";
import { mul } from "./mul.ts";
import { sub } from "./sub.ts";

// biome-ignore format: a table
const CASES = [
  {
    op: add,
    dtype: "i8",
    scale: [0.6165249943733215, 0.004542887210845947, 0.015985311940312386],
    zero: [88, 66, -79],
    a: [94, 89, 93, 92, 90, 88, 91, 91, 93, 92, 89, 90, 90, 93, 90, 91, 87, 89, 93, 91],
    b: [-30, -113, 59, -106, -109, -68, 98, 28, 26, 81, 16, 78, -19, -46, 8, -79, 106, -126, 47, 78],
    y: [125, -91, 112, 26, -52, -117, 46, 26, 102, 80, -55, 2, -26, 82, -18, -5, -106, -95, 108, 40],
  },
  {
    op: add,
    dtype: "u8",
    scale: [0.06588958948850632, 0.09741558879613876, 0.41361525654792786],
    zero: [144, 2, 186],
    a: [103, 162, 111, 44, 12, 150, 21, 57, 6, 208, 156, 78, 80, 194, 128, 165, 239, 59, 34, 51],
    b: [99, 60, 0, 120, 102, 103, 187, 211, 198, 234, 50, 124, 15, 62, 132, 49, 40, 97, 180, 4],
    y: [202, 203, 180, 198, 189, 211, 210, 221, 210, 251, 199, 204, 179, 208, 214, 200, 210, 195, 210, 172],
  },
  {
    op: sub,
    dtype: "i8",
    scale: [0.01341512892395258, 0.1076013371348381, 0.007002931088209152],
    zero: [108, 8, 94],
    a: [-52, 1, 4, 5, 107, 11, 89, -51, 73, 1, 119, 96, 78, 84, -84, 12, 28, 31, -47, -66],
    b: [-2, -2, -5, 9, 17, 7, 20, -4, 16, 0, 13, 9, 6, 17, -2, 2, 6, -1, -8, -9],
    y: [-59, 43, 95, -119, -46, -76, -127, -26, -96, 12, 38, 56, 67, -90, -120, 2, -29, 85, 43, 22],
  },
  {
    op: sub,
    dtype: "u8",
    scale: [0.08447887748479843, 0.011100083589553833, 0.17947034537792206],
    zero: [223, 235, 181],
    a: [115, 245, 211, 235, 172, 150, 176, 166, 27, 16, 170, 221, 174, 127, 208, 56, 22, 228, 12, 70],
    b: [223, 141, 222, 197, 154, 22, 75, 129, 121, 82, 200, 73, 194, 241, 159, 170, 188, 64, 212, 51],
    y: [131, 197, 176, 189, 162, 160, 169, 161, 96, 93, 158, 190, 160, 135, 179, 106, 89, 194, 83, 120],
  },
  {
    op: mul,
    dtype: "i8",
    scale: [0.18003949522972107, 0.22782409191131592, 0.04142750799655914],
    zero: [-50, -16, -28],
    a: [-49, -67, -47, -50, -35, -46, -48, -53, 86, -37, -112, -56, -50, -51, -20, -63, -49, -51, 99, 63],
    b: [-95, -15, -43, -75, -14, -22, 51, -33, -16, -7, -18, -3, 99, 73, -17, -19, 87, -39, -15, -15],
    y: [-106, -45, -108, -28, 2, -52, 105, 22, -28, 88, 95, -105, -28, -116, -58, 11, 74, -5, 120, 84],
  },
  {
    op: mul,
    dtype: "u8",
    scale: [0.8339138627052307, 0.0269632525742054, 0.3359401822090149],
    zero: [155, 133, 144],
    a: [176, 233, 32, 134, 157, 173, 234, 154, 179, 115, 130, 241, 142, 165, 141, 125, 123, 53, 195, 113],
    b: [181, 115, 123, 123, 9, 215, 117, 209, 195, 164, 75, 121, 222, 238, 232, 114, 129, 133, 141, 94],
    y: [212, 50, 226, 158, 127, 243, 59, 139, 244, 61, 241, 75, 66, 214, 51, 182, 153, 144, 165, 254],
  },
] as const;

for (const c of CASES) {
  test(`${c.op.name} ${c.dtype} gives TensorFlow Lite's integers`, () => {
    const quant = (i: number) => ({ scale: [c.scale[i]!], zeroPoint: [c.zero[i]!], axis: null });
    const operand = (i: number, values: readonly number[]): Tensor => {
      const t = zeros(tensorType(c.dtype, [values.length], quant(i)));
      values.forEach((v, k) => {
        t.data[k] = v;
      });
      return t;
    };
    const ins = [operand(0, c.a), operand(1, c.b)];
    const attrs: ArithmeticAttrs = { arith: "tflite", out: { dtype: c.dtype, ...quant(2) } };
    const types = inferTypes(
      c.op,
      ins.map((t) => t.type),
      attrs,
    );
    assert.deepEqual(toNumbers(evalTensors(c.op, ins, attrs, types)[0]!), [...c.y]);
  });
}

test("mistakes in the operands are named", () => {
  const f = (dtype: "f32" | "i32" | "bool", ...shape: number[]) => tensorType(dtype, shape);
  const refused = (ins: Parameters<typeof add.infer>[0], attrs: ArithmeticAttrs, text: RegExp) =>
    assert.throws(
      () => add.infer(ins, attrs),
      (e: unknown) => e instanceof UserError && text.test(e.message),
    );
  refused([f("f32", 2, 3), f("f32", 4)], {}, /\[2, 3\] and \[4\] do not broadcast/);
  refused([f("f32", 2), f("i32", 2)], {}, /f32 and i32/);
  refused([f("bool", 2), f("bool", 2)], {}, /got bool/);
  refused([f("f32", 2)], {}, /expected 2 inputs, got 1/);
  const q = tensorType("i8", [2], { scale: [0.1], zeroPoint: [0], axis: null });
  refused([q, f("f32", 2)], { arith: "tflite" }, /per-tensor quantised/);
});
