/** @file Shapes that break tiles, by operator, beside the operators' own samples. */
import type { Sample } from "../../src/graph/op.ts";
import { tensorType } from "../../src/tensor/tensor.ts";

const f32 = (...shape: number[]) => tensorType("f32", shape);

/** Inputs that models know: weights, biases, scales. */
export const CONSTANT_INPUTS: Readonly<Record<string, readonly number[]>> = {
  conv: [1, 2],
  conv_transpose: [1, 2],
  layer_norm: [1, 2],
  linear: [1, 2],
};

const convCase = (
  x: readonly [n: number, h: number, w: number, c: number],
  o: number,
  k: readonly [number, number],
  rest: { stride?: number; pad?: number; dilation?: number; groups?: number; residual?: true } = {},
): Sample => {
  const { stride = 1, pad = 0, dilation = 1, groups = 1, residual } = rest;
  const size = (extent: number, taps: number): number =>
    Math.floor((extent + 2 * pad - (taps - 1) * dilation - 1) / stride) + 1;
  const y = f32(x[0], size(x[1], k[0]), size(x[2], k[1]), o);
  return {
    ins: [f32(...x), f32(o, ...k, x[3] / groups), f32(o), ...(residual ? [y] : [])],
    attrs: {
      layout: "nhwc",
      stride: [stride, stride],
      padBegin: [pad, pad],
      padEnd: [pad, pad],
      dilation: [dilation, dilation],
      groups,
      act: { fn: "relu" },
    },
  };
};

const conv = (pad: readonly number[], stride: readonly number[], groups: number, act?: string) => ({
  layout: "nhwc" as const,
  stride,
  padBegin: pad.slice(0, 2),
  padEnd: pad.slice(2),
  dilation: [1, 1],
  groups,
  ...(act === undefined ? {} : { act: { fn: act } }),
});

const depthwise = (
  [h, w, c]: readonly [number, number, number],
  k: readonly [number, number],
  stride: readonly number[],
  pad: readonly number[],
  act?: string,
): Sample => ({
  ins: [f32(1, h, w, c), f32(c, ...k, 1), f32(c)],
  attrs: conv(pad, stride, c, act),
});

/** A weight gradient: the shapes of the input and of the cotangent follow from the convolution's. */
const weightGradient = (
  x: readonly [n: number, h: number, w: number, c: number],
  o: number,
  k: readonly [number, number],
  rest: { stride?: number; pad?: number; dilation?: number; groups?: number } = {},
): Sample => {
  const { ins, attrs } = convCase(x, o, k, rest);
  const { stride = 1, pad = 0, dilation = 1 } = rest;
  const size = (extent: number, taps: number): number =>
    Math.floor((extent + 2 * pad - (taps - 1) * dilation - 1) / stride) + 1;
  const { act: _, ...own } = attrs as { readonly act?: unknown };
  return {
    ins: [ins[0]!, f32(x[0], size(x[1], k[0]), size(x[2], k[1]), o)],
    attrs: { ...own, kernel: k },
    tolerance: 1e-4,
  };
};

const resized = (
  shape: readonly number[],
  size: readonly number[],
  attrs: { readonly mode: "nearest" | "linear"; readonly coordinates: string },
): Sample => ({
  ins: [f32(...shape)],
  attrs: { layout: "nhwc", size, nearest: "round_prefer_floor", ...attrs },
});

const batchNorm = (shape: readonly number[]): Sample => ({
  ins: [f32(...shape), f32(shape.at(-1)!), f32(shape.at(-1)!)],
  attrs: { layout: "nhwc", epsilon: 1e-5 },
  tolerance: 2e-5,
});

export const CASES: Readonly<Record<string, readonly Sample[]>> = {
  batch_norm_training: [
    batchNorm([2, 20, 21, 16]),
    batchNorm([1, 300, 30, 3]),
    batchNorm([5, 7, 3, 70]),
  ],
  conv_backward_weights: [
    weightGradient([2, 8, 8, 3], 16, [3, 3], { pad: 1 }),
    weightGradient([2, 9, 7, 5], 6, [3, 3], { pad: 1, stride: 2 }),
    weightGradient([1, 6, 6, 16], 7, [1, 1]),
    weightGradient([3, 7, 7, 4], 4, [1, 1], { stride: 2 }),
    weightGradient([1, 40, 9, 8], 12, [5, 3], { pad: 2 }),
    weightGradient([2, 8, 8, 12], 12, [3, 3], { pad: 1, groups: 12 }),
    weightGradient([2, 9, 9, 6], 6, [3, 3], { pad: 1, groups: 6, stride: 2 }),
    weightGradient([2, 8, 7, 12], 24, [3, 3], { pad: 1, groups: 4 }),
    weightGradient([2, 9, 6, 10], 15, [3, 3], { pad: 1, groups: 5, stride: 2 }),
    weightGradient([3, 4, 5, 32], 32, [1, 1], { groups: 2 }),
    weightGradient([1, 6, 6, 6], 12, [3, 3], { pad: 1, groups: 6 }),
    weightGradient([18, 6, 5, 19], 19, [3, 3], { pad: 1, groups: 19 }),
    weightGradient([1, 9, 8, 8], 8, [5, 5], { pad: 2, groups: 8 }),
    weightGradient([2, 7, 9, 4], 4, [3, 2], { pad: 1, groups: 4, dilation: 2 }),
    weightGradient([1, 40, 40, 6], 6, [3, 3], { groups: 6 }),
  ],
  conv: [
    convCase([1, 9, 11, 8], 16, [3, 3], { pad: 1 }),
    convCase([2, 8, 8, 12], 20, [3, 3], { pad: 1, residual: true }),
    convCase([1, 4, 5, 6], 23, [3, 3], { pad: 1, residual: true }),
    convCase([1, 3, 4, 8], 52, [1, 1], { residual: true }),
    convCase([1, 7, 6, 4], 5, [3, 3]),
    convCase([1, 5, 13, 16], 24, [3, 3], { pad: 2 }),
    convCase([1, 6, 6, 16], 16, [3, 3], { pad: 1, groups: 4 }),
    convCase([1, 11, 7, 24], 32, [1, 1], { stride: 2 }),
    convCase([1, 9, 9, 3], 8, [3, 3], { stride: 2, pad: 1 }),
    convCase([1, 12, 5, 8], 12, [3, 1], { dilation: 2 }),
    convCase([1, 7, 7, 40], 48, [3, 3], { pad: 1, residual: true }),
    { ins: [f32(1, 9, 7, 10), f32(14, 1, 1, 10)], attrs: conv([0, 0, 0, 0], [1, 1], 1, "sigmoid") },
    {
      ins: [f32(1, 6, 9, 3), f32(9, 3, 3, 3)],
      attrs: conv([1, 1, 1, 1], [1, 1], 1, "tanh"),
      tolerance: 1e-4,
    },
    depthwise([9, 11, 8], [3, 3], [1, 1], [1, 1, 1, 1], "relu"),
    depthwise([9, 11, 6], [3, 3], [1, 1], [1, 1, 1, 1], "hard_swish"),
    depthwise([12, 13, 5], [3, 3], [2, 2], [0, 0, 1, 1]),
    depthwise([6, 25, 12], [5, 5], [2, 1], [2, 2, 2, 2], "sigmoid"),
    depthwise([2, 17, 4], [5, 5], [1, 1], [2, 2, 2, 2]),
    depthwise([3, 3, 9], [3, 3], [1, 1], [1, 1, 1, 1]),
    depthwise([1, 2, 8], [3, 3], [1, 1], [1, 1, 1, 1]),
    depthwise([8, 8, 3], [3, 3], [1, 1], [1, 1, 1, 1]),
    depthwise([14, 14, 16], [7, 7], [1, 1], [3, 3, 3, 3]),
    depthwise([10, 10, 8], [3, 3], [1, 1], [0, 0, 0, 0]),
    depthwise([5, 9, 7], [2, 4], [2, 3], [1, 3, 0, 2]),
    {
      ins: [f32(2, 11, 12, 8), f32(8, 3, 3, 1)],
      attrs: { ...conv([2, 2, 2, 2], [1, 1], 8), dilation: [2, 2] },
    },
  ],
  linear: [
    {
      ins: [f32(14, 9), f32(11, 9), f32(11)],
      attrs: {
        act: {
          fn: "chain",
          steps: [
            { fn: "hard_swish" },
            { fn: "affine", scale: 0.5, shift: -2 },
            { fn: "elu", alpha: 1 },
          ],
        },
      },
    },
    { ins: [f32(13, 300), f32(20, 300), f32(20)], attrs: {} },
    {
      ins: [f32(13, 20), f32(18, 20), f32(18)],
      attrs: { act: { fn: "gelu", approximate: "none" } },
    },
    { ins: [f32(98, 512), f32(34, 512), f32(34)], attrs: {} },
    { ins: [f32(7, 70), f32(33, 70), f32(33)], attrs: { act: { fn: "relu" } } },
  ],
  layer_norm: [
    { ins: [f32(3, 37), f32(37), f32(37)], attrs: { axis: 1, epsilon: 1e-5 } },
    { ins: [f32(2, 3, 32)], attrs: { axis: 2, epsilon: 1e-5 } },
  ],
  reduce_mean: [
    { ins: [f32(2, 3, 5, 43)], attrs: { axes: [1, 2], keepDims: false } },
    { ins: [f32(7, 33)], attrs: { axes: [0], keepDims: true } },
  ],
  resize: [
    resized([1, 5, 6, 9], [10, 12], { mode: "nearest", coordinates: "asymmetric" }),
    resized([2, 5, 6, 4], [7, 15], { mode: "nearest", coordinates: "half_pixel" }),
    resized([1, 4, 5, 40], [8, 5], { mode: "nearest", coordinates: "align_corners" }),
    resized([1, 5, 6, 9], [10, 12], { mode: "linear", coordinates: "half_pixel" }),
    resized([2, 9, 7, 3], [4, 3], { mode: "linear", coordinates: "align_corners" }),
    resized([1, 1, 7, 8], [3, 14], { mode: "linear", coordinates: "pytorch_half_pixel" }),
  ],
  matmul: [
    { ins: [f32(2, 13, 7), f32(2, 7, 9)], attrs: {} },
    { ins: [f32(3, 1, 6, 11), f32(5, 11, 16)], attrs: {} },
    { ins: [f32(2, 2, 17, 8), f32(1, 2, 23, 8)], attrs: { transB: true } },
    { ins: [f32(9, 14), f32(9, 33)], attrs: { transA: true } },
    { ins: [f32(1, 40), f32(70, 40)], attrs: { transB: true } },
    { ins: [f32(70, 130), f32(130, 150)], attrs: {} },
  ],
};
