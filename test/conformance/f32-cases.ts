/** @file Shapes that break tiles, by operator, beside the operators' own samples. */
import type { Sample } from "../../src/graph/op.ts";
import { tensorType } from "../../src/tensor/tensor.ts";

const f32 = (...shape: number[]) => tensorType("f32", shape);

/** Inputs that models know: weights, biases, scales. */
export const CONSTANT_INPUTS: Readonly<Record<string, readonly number[]>> = {
  conv: [1, 2],
  conv_transpose: [1, 2],
  linear: [1, 2],
};

export const CASES: Readonly<Record<string, readonly Sample[]>> = {
  matmul: [
    { ins: [f32(2, 13, 7), f32(2, 7, 9)], attrs: {} },
    { ins: [f32(3, 1, 6, 11), f32(5, 11, 16)], attrs: {} },
    { ins: [f32(2, 2, 17, 8), f32(1, 2, 23, 8)], attrs: { transB: true } },
    { ins: [f32(9, 14), f32(9, 33)], attrs: { transA: true } },
    { ins: [f32(1, 40), f32(70, 40)], attrs: { transB: true } },
    { ins: [f32(70, 130), f32(130, 150)], attrs: {} },
  ],
};
