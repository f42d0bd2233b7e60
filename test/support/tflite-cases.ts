/**
 * @file One small TensorFlow Lite model for each operator the importer knows, float and int8: seeds of the
 * format fuzzer, and what bench/peers/tflite-agreement.ts compares with TensorFlow Lite itself.
 */
import * as S from "../../src/formats/tflite/schema.ts";
import type { TypedArray } from "../../src/tensor/dtype.ts";
import { makeRng } from "../../src/util/rng.ts";
import {
  type WriteModel,
  type WriteOperator,
  type WriteTensor,
  writeTflite,
} from "./tflite-writer.ts";

export interface TfliteCase {
  readonly name: string;
  readonly model: WriteModel;
  readonly bytes: Uint8Array;
}

const rng = makeRng(7);
const f32 = (shape: readonly number[], data?: TypedArray): WriteTensor => ({
  name: "",
  shape,
  ...(data === undefined ? {} : { data }),
});
const i32 = (
  values: readonly number[],
  shape: readonly number[] = [values.length],
): WriteTensor => ({
  name: "",
  shape,
  type: "INT32",
  data: Int32Array.from(values),
});
const int = (type: "INT32" | "INT64" | "BOOL", shape: readonly number[]): WriteTensor => ({
  name: "",
  shape,
  type,
});
const count = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
const reals = (shape: readonly number[]): WriteTensor =>
  f32(
    shape,
    Float32Array.from({ length: count(shape) }, () => rng.normal()),
  );
const q = (shape: readonly number[], scale: number, zeroPoint: number): WriteTensor => ({
  name: "",
  shape,
  type: "INT8",
  scale: [Math.fround(scale)],
  zeroPoint: [zeroPoint],
});
const u = (shape: readonly number[], scale: number, zeroPoint: number): WriteTensor => ({
  ...q(shape, scale, zeroPoint),
  type: "UINT8",
});
/** Random int8 weights with one scale for each index of `axis`. */
function weights(shape: readonly number[], axis: number): WriteTensor {
  const n = shape[axis]!;
  return {
    name: "",
    shape,
    type: "INT8",
    data: Int8Array.from({ length: count(shape) }, () => rng.int(255) - 127),
    scale: Array.from({ length: n }, () => Math.fround(0.002 + 0.01 * rng.next())),
    zeroPoint: new Array<number>(n).fill(0),
    axis,
  };
}
/** A weight tensor with one scale. */
const plainWeights = (shape: readonly number[], scale: number): WriteTensor => ({
  ...weights(shape, 0),
  scale: [Math.fround(scale)],
  zeroPoint: [0],
});
/** An i32 bias whose scales are the products TensorFlow Lite expects. */
function bias(n: number, inputScale: number, w: WriteTensor): WriteTensor {
  const scale = w.scale!.map((s) => Math.fround(s * Math.fround(inputScale)));
  return {
    name: "",
    shape: [n],
    type: "INT32",
    data: Int32Array.from({ length: n }, () => rng.int(4001) - 2000),
    scale,
    zeroPoint: scale.map(() => 0),
  };
}

type Values = NonNullable<WriteOperator["values"]>;

/** A model of one operator; its inputs are the tensors without data. */
function one(
  name: string,
  ins: readonly (WriteTensor | null)[],
  outs: readonly WriteTensor[],
  options?: S.OptionTable,
  values?: Values,
): TfliteCase {
  const op = name.split(" ")[0]!;
  const present = ins.filter((t) => t !== null);
  const tensors = [...present, ...outs].map((t, i) => ({ ...t, name: `t${i}` }));
  const index = (t: WriteTensor | null): number => (t === null ? -1 : present.indexOf(t));
  const model: WriteModel = {
    tensors,
    operators: [
      {
        op,
        inputs: ins.map(index),
        outputs: outs.map((_, i) => present.length + i),
        ...(options === undefined ? {} : { options, values: values ?? {} }),
      },
    ],
    inputs: present.flatMap((t, i) => (t.data === undefined ? [i] : [])),
    outputs: outs.map((_, i) => present.length + i),
  };
  return { name, model, bytes: writeTflite(model) };
}

const POOL = { strideW: 2, strideH: 2, filterW: 3, filterH: 3 };
const ONE = { strideW: 1, strideH: 1 };

function convolutions(): TfliteCase[] {
  const x = q([1, 9, 8, 6], 0.05, 3);
  const w = weights([8, 3, 3, 6], 0);
  const dw = weights([1, 3, 3, 6], 3);
  const dw2 = weights([1, 3, 3, 12], 3);
  const pw = weights([16, 1, 1, 6], 0);
  const uw: WriteTensor = {
    ...u([5, 3, 3, 6], 0.01, 120),
    data: Uint8Array.from({ length: 5 * 54 }, () => rng.int(256)),
  };
  const fc = plainWeights([7, 24], 0.007);
  const ufc: WriteTensor = {
    ...u([7, 24], 0.007, 131),
    data: Uint8Array.from({ length: 7 * 24 }, () => rng.int(256)),
  };
  const conv = S.CONV_2D_OPTIONS;
  const depth = S.DEPTHWISE_CONV_2D_OPTIONS;
  return [
    one(
      "CONV_2D float",
      [f32([1, 9, 8, 3]), reals([4, 3, 2, 3]), reals([4])],
      [f32([1, 5, 4, 4])],
      conv,
      {
        strideW: 2,
        strideH: 2,
        activation: 1,
      },
    ),
    one(
      "CONV_2D dilated",
      [f32([1, 9, 8, 3]), reals([4, 3, 3, 3]), reals([4])],
      [f32([1, 5, 4, 4])],
      conv,
      {
        ...ONE,
        padding: 1,
        dilationW: 2,
        dilationH: 2,
      },
    ),
    one("CONV_2D hybrid", [f32([1, 9, 8, 6]), w, reals([8])], [f32([1, 9, 8, 8])], conv, ONE),
    one("CONV_2D int8", [x, w, bias(8, 0.05, w)], [q([1, 9, 8, 8], 0.11, -5)], conv, ONE),
    one("CONV_2D int8 relu6", [x, w, bias(8, 0.05, w)], [q([1, 9, 8, 8], 0.04, -100)], conv, {
      ...ONE,
      activation: 3,
    }),
    one(
      "CONV_2D int8 pointwise",
      [x, pw, bias(16, 0.05, pw)],
      [q([1, 9, 8, 16], 0.03, 5)],
      conv,
      ONE,
    ),
    one(
      "CONV_2D uint8",
      [u([1, 9, 8, 6], 0.05, 99), uw, bias(5, 0.05, uw)],
      [u([1, 9, 8, 5], 0.11, 128)],
      conv,
      ONE,
    ),
    one(
      "DEPTHWISE_CONV_2D float",
      [f32([1, 9, 8, 4]), reals([1, 3, 3, 8]), reals([8])],
      [f32([1, 9, 8, 8])],
      depth,
      {
        ...ONE,
        depthMultiplier: 2,
        activation: 3,
      },
    ),
    one("DEPTHWISE_CONV_2D int8", [x, dw, bias(6, 0.05, dw)], [q([1, 9, 8, 6], 0.05, 7)], depth, {
      ...ONE,
      depthMultiplier: 1,
    }),
    one(
      "DEPTHWISE_CONV_2D int8 stride 2",
      [x, dw, bias(6, 0.05, dw)],
      [q([1, 5, 4, 6], 0.05, 7)],
      depth,
      {
        strideW: 2,
        strideH: 2,
        depthMultiplier: 1,
      },
    ),
    one(
      "DEPTHWISE_CONV_2D int8 x2",
      [x, dw2, bias(12, 0.05, dw2)],
      [q([1, 9, 8, 12], 0.05, 7)],
      depth,
      {
        ...ONE,
        depthMultiplier: 2,
      },
    ),
    one(
      "TRANSPOSE_CONV float",
      [i32([1, 9, 8, 3]), reals([3, 3, 3, 2]), f32([1, 5, 4, 2])],
      [f32([1, 9, 8, 3])],
      S.TRANSPOSE_CONV_OPTIONS,
      { strideW: 2, strideH: 2 },
    ),
    one(
      "TRANSPOSE_CONV valid",
      [i32([1, 11, 9, 3]), reals([3, 3, 3, 2]), f32([1, 5, 4, 2]), reals([3])],
      [f32([1, 11, 9, 3])],
      S.TRANSPOSE_CONV_OPTIONS,
      { strideW: 2, strideH: 2, padding: 1 },
    ),
    one(
      "FULLY_CONNECTED float",
      [f32([2, 3, 4]), reals([5, 12]), reals([5])],
      [f32([2, 5])],
      S.FULLY_CONNECTED_OPTIONS,
      { activation: 1 },
    ),
    one(
      "FULLY_CONNECTED keep",
      [f32([2, 3, 4]), reals([5, 4]), null],
      [f32([2, 3, 5])],
      S.FULLY_CONNECTED_OPTIONS,
      { keepNumDims: true },
    ),
    one(
      "FULLY_CONNECTED int8",
      [q([6, 24], 0.04, 11), fc, bias(7, 0.04, fc)],
      [q([6, 7], 0.061, -9)],
      S.FULLY_CONNECTED_OPTIONS,
      {},
    ),
    one(
      "FULLY_CONNECTED uint8",
      [u([6, 24], 0.04, 111), ufc, bias(7, 0.04, ufc)],
      [u([6, 7], 0.061, 120)],
      S.FULLY_CONNECTED_OPTIONS,
      {},
    ),
    one(
      "BATCH_MATMUL float",
      [f32([2, 3, 4]), f32([2, 5, 4])],
      [f32([2, 3, 5])],
      S.BATCH_MATMUL_OPTIONS,
      { adjY: true },
    ),
    one(
      "BATCH_MATMUL int8",
      [q([2, 3, 16], 0.04, 3), q([2, 16, 5], 0.03, 0)],
      [q([2, 3, 5], 0.09, 1)],
      S.BATCH_MATMUL_OPTIONS,
      {},
    ),
  ];
}

function pools(): TfliteCase[] {
  const x = q([1, 9, 8, 6], 0.05, 3);
  const pool = S.POOL_2D_OPTIONS;
  return [
    one("AVERAGE_POOL_2D float", [f32([1, 9, 8, 3])], [f32([1, 5, 4, 3])], pool, POOL),
    one("AVERAGE_POOL_2D int8", [x], [q([1, 5, 4, 6], 0.05, 3)], pool, POOL),
    one("AVERAGE_POOL_2D uint8", [u([1, 9, 8, 6], 0.05, 77)], [u([1, 4, 3, 6], 0.05, 77)], pool, {
      ...POOL,
      padding: 1,
    }),
    one("MAX_POOL_2D float", [f32([1, 9, 8, 3])], [f32([1, 5, 4, 3])], pool, {
      ...POOL,
      activation: 3,
    }),
    one("MAX_POOL_2D int8", [x], [q([1, 5, 4, 6], 0.05, 3)], pool, POOL),
    one("L2_POOL_2D float", [f32([1, 9, 8, 3])], [f32([1, 5, 4, 3])], pool, POOL),
    one("SOFTMAX float", [f32([3, 10])], [f32([3, 10])], S.SOFTMAX_OPTIONS, { beta: 1.5 }),
    one("SOFTMAX int8", [q([5, 12], 0.11, 4)], [q([5, 12], 1 / 256, -128)], S.SOFTMAX_OPTIONS, {
      beta: 1,
    }),
    one(
      "SOFTMAX int8 beta",
      [q([5, 12], 0.11, 4)],
      [q([5, 12], 1 / 256, -128)],
      S.SOFTMAX_OPTIONS,
      { beta: 0.3 },
    ),
    one("SOFTMAX uint8", [u([5, 12], 0.05, 44)], [u([5, 12], 1 / 256, 0)], S.SOFTMAX_OPTIONS, {
      beta: 1,
    }),
    one("LOG_SOFTMAX float", [f32([3, 10])], [f32([3, 10])]),
    one("LOG_SOFTMAX int8", [q([3, 10], 0.1, 4)], [q([3, 10], 16 / 256, 127)]),
    one("L2_NORMALIZATION float", [f32([3, 10])], [f32([3, 10])], S.L2_NORM_OPTIONS, {}),
    one("LOCAL_RESPONSE_NORMALIZATION", [f32([1, 4, 3, 9])], [f32([1, 4, 3, 9])], S.LRN_OPTIONS, {
      radius: 2,
      bias: 1,
      alpha: 0.5,
      beta: 0.7,
    }),
    ...[0, 1, 2].flatMap((mode) => {
      const flags = { alignCorners: mode === 1, halfPixelCenters: mode === 2 };
      return [
        one(
          `RESIZE_BILINEAR ${mode}`,
          [f32([1, 4, 5, 2]), i32([7, 9])],
          [f32([1, 7, 9, 2])],
          S.RESIZE_BILINEAR_OPTIONS,
          flags,
        ),
        one(
          `RESIZE_NEAREST_NEIGHBOR ${mode}`,
          [f32([1, 4, 5, 2]), i32([7, 9])],
          [f32([1, 7, 9, 2])],
          S.RESIZE_NEAREST_OPTIONS,
          flags,
        ),
      ];
    }),
    one(
      "RESIZE_BILINEAR int8",
      [q([1, 4, 5, 2], 0.1, 3), i32([7, 9])],
      [q([1, 7, 9, 2], 0.1, 3)],
      S.RESIZE_BILINEAR_OPTIONS,
      { halfPixelCenters: true },
    ),
  ];
}

function elementwise(): TfliteCase[] {
  const a = q([1, 4, 5, 6], 0.05, 3);
  const b = q([1, 4, 5, 6], 0.031, -20);
  const c = q([6], 0.02, 5);
  const out = q([1, 4, 5, 6], 0.07, -3);
  const pairs: readonly (readonly [string, S.OptionTable | undefined])[] = [
    ["ADD", S.ADD_OPTIONS],
    ["SUB", S.SUB_OPTIONS],
    ["MUL", S.MUL_OPTIONS],
    ["DIV", S.DIV_OPTIONS],
    ["MINIMUM", undefined],
    ["MAXIMUM", undefined],
    ["POW", undefined],
    ["SQUARED_DIFFERENCE", undefined],
    ["FLOOR_DIV", undefined],
    ["FLOOR_MOD", undefined],
  ];
  const unary =
    "RELU RELU6 RELU_N1_TO_1 RELU_0_TO_1 ELU HARD_SWISH LOGISTIC TANH EXP LOG SQRT RSQRT SQUARE ABS NEG SIGN SIN COS CEIL FLOOR ROUND";
  const tabled = "RELU RELU6 ELU HARD_SWISH LOGISTIC TANH EXP LOG RSQRT ABS";
  const bounded: Readonly<Record<string, WriteTensor>> = {
    LOGISTIC: q([4, 64], 1 / 256, -128),
    TANH: q([4, 64], 1 / 128, 0),
  };
  return [
    ...pairs.map(([op, options]) =>
      one(`${op} float`, [f32([2, 3, 4]), f32([3, 1])], [f32([2, 3, 4])], options, {}),
    ),
    ...["ADD", "SUB", "MUL"].flatMap((op) => {
      const options = { ADD: S.ADD_OPTIONS, SUB: S.SUB_OPTIONS, MUL: S.MUL_OPTIONS }[op]!;
      return [
        one(`${op} int8`, [a, b], [out], options, {}),
        one(`${op} int8 broadcast`, [a, c], [out], options, { activation: 1 }),
      ];
    }),
    one(
      "ADD uint8",
      [u([3, 9], 0.05, 90), u([3, 9], 0.03, 7)],
      [u([3, 9], 0.06, 101)],
      S.ADD_OPTIONS,
      {},
    ),
    one("MAXIMUM int8", [a, q([1, 4, 5, 6], 0.05, 3)], [q([1, 4, 5, 6], 0.05, 3)]),
    ...unary.split(" ").map((op) => one(`${op} float`, [f32([4, 16])], [f32([4, 16])])),
    ...tabled
      .split(" ")
      .map((op) =>
        one(`${op} int8`, [q([4, 64], 0.05, 3)], [bounded[op] ?? q([4, 64], 0.041, -9)]),
      ),
    one("LEAKY_RELU float", [f32([4, 16])], [f32([4, 16])], S.LEAKY_RELU_OPTIONS, { alpha: 0.1 }),
    one("LEAKY_RELU int8", [q([4, 64], 0.05, 3)], [q([4, 64], 0.041, -9)], S.LEAKY_RELU_OPTIONS, {
      alpha: 0.1,
    }),
    one("GELU float", [f32([4, 16])], [f32([4, 16])], S.GELU_OPTIONS, {}),
    one("GELU int8", [q([4, 64], 0.05, 3)], [q([4, 64], 0.041, -9)], S.GELU_OPTIONS, {
      approximate: true,
    }),
    one("PRELU float", [f32([1, 4, 5, 6]), reals([1, 1, 6])], [f32([1, 4, 5, 6])]),
    one("QUANTIZE float", [f32([4, 16])], [q([4, 16], 0.041, -9)]),
    one("QUANTIZE int8", [q([4, 64], 0.05, 3)], [q([4, 64], 0.041, -9)]),
    one("DEQUANTIZE int8", [q([4, 64], 0.05, 3)], [f32([4, 64])]),
    one("CAST to int", [f32([4, 16])], [int("INT32", [4, 16])], S.CAST_OPTIONS, { outType: 2 }),
    ...["EQUAL", "NOT_EQUAL", "LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL"].map((op) =>
      one(op, [f32([2, 5]), f32([5])], [int("BOOL", [2, 5])]),
    ),
    one("ATAN2", [f32([2, 5]), f32([2, 5])], [f32([2, 5])]),
    one("LOGICAL_NOT", [int("BOOL", [7])], [int("BOOL", [7])]),
    one("LOGICAL_AND", [int("BOOL", [7]), int("BOOL", [7])], [int("BOOL", [7])]),
    one("SELECT rows", [int("BOOL", [3]), f32([3, 4]), f32([3, 4])], [f32([3, 4])]),
    one("SELECT_V2", [int("BOOL", [4]), f32([3, 4]), f32([3, 4])], [f32([3, 4])]),
  ];
}

function movement(): TfliteCase[] {
  const x = f32([2, 3, 4]);
  const image = f32([1, 4, 6, 8]);
  return [
    one("RESHAPE", [x, i32([4, -1])], [f32([4, 6])], S.RESHAPE_OPTIONS, { newShape: [4, -1] }),
    one("RESHAPE option", [x], [f32([6, 4])], S.RESHAPE_OPTIONS, { newShape: [6, 4] }),
    one("SQUEEZE", [f32([1, 3, 1, 4])], [f32([3, 4])], S.SQUEEZE_OPTIONS, {}),
    one("EXPAND_DIMS", [x, i32([-1])], [f32([2, 3, 4, 1])]),
    one("TRANSPOSE", [x, i32([2, 0, 1])], [f32([4, 2, 3])]),
    one("CONCATENATION", [x, f32([2, 2, 4])], [f32([2, 5, 4])], S.CONCATENATION_OPTIONS, {
      axis: -2,
    }),
    one(
      "CONCATENATION uint8",
      [u([4, 64], 0.05, 3), u([4, 64], 0.03, 9)],
      [u([4, 128], 0.06, 40)],
      S.CONCATENATION_OPTIONS,
      { axis: 1 },
    ),
    one("PACK", [x, f32([2, 3, 4])], [f32([2, 2, 3, 4])], S.PACK_OPTIONS, {
      valuesCount: 2,
      axis: 1,
    }),
    one("UNPACK", [x], [f32([2, 4]), f32([2, 4]), f32([2, 4])], S.UNPACK_OPTIONS, {
      num: 3,
      axis: 1,
    }),
    one("SPLIT", [i32([2], []), x], [f32([2, 3, 2]), f32([2, 3, 2])], S.SPLIT_OPTIONS, {
      numSplits: 2,
    }),
    one(
      "SPLIT_V",
      [x, i32([1, 2]), i32([1], [])],
      [f32([2, 1, 4]), f32([2, 2, 4])],
      S.SPLIT_V_OPTIONS,
      { numSplits: 2 },
    ),
    one("SLICE", [x, i32([0, 1, 2]), i32([2, -1, 1])], [f32([2, 2, 1])]),
    one(
      "STRIDED_SLICE",
      [x, i32([0, 2, 3]), i32([1, 0, -5]), i32([1, -1, -2])],
      [f32([3, 2])],
      S.STRIDED_SLICE_OPTIONS,
      { shrinkAxisMask: 1, endMask: 2 },
    ),
    one(
      "STRIDED_SLICE ellipsis",
      [x, i32([0, 0, 1]), i32([0, 0, 3]), i32([1, 1, 1])],
      [f32([2, 3, 1, 2])],
      S.STRIDED_SLICE_OPTIONS,
      { ellipsisMask: 1, newAxisMask: 2 },
    ),
    one("PAD", [x, i32([0, 0, 1, 2, 0, 1], [3, 2])], [f32([2, 6, 5])]),
    one("PAD int8", [q([2, 3], 0.1, 5), i32([1, 0, 1, 2], [2, 2])], [q([3, 6], 0.1, 5)]),
    one(
      "PADV2",
      [x, i32([0, 0, 1, 2, 0, 1], [3, 2]), f32([], Float32Array.of(-2))],
      [f32([2, 6, 5])],
    ),
    one(
      "MIRROR_PAD reflect",
      [x, i32([0, 0, 1, 2, 3, 1], [3, 2])],
      [f32([2, 6, 8])],
      S.MIRROR_PAD_OPTIONS,
      {},
    ),
    one(
      "MIRROR_PAD symmetric",
      [x, i32([0, 0, 1, 2, 3, 1], [3, 2])],
      [f32([2, 6, 8])],
      S.MIRROR_PAD_OPTIONS,
      { mode: 1 },
    ),
    one("REVERSE_V2", [x, i32([1])], [f32([2, 3, 4])]),
    one("REVERSE_SEQUENCE", [x, i32([2, 3])], [f32([2, 3, 4])], S.REVERSE_SEQUENCE_OPTIONS, {
      seqDim: 1,
      batchDim: 0,
    }),
    one("GATHER", [x, i32([2, 0, 2])], [f32([2, 3, 4])], S.GATHER_OPTIONS, { axis: 1 }),
    one("GATHER_ND", [x, i32([1, 2, 0, 0], [2, 2])], [f32([2, 4])]),
    one("TILE", [x, i32([1, 2, 2])], [f32([2, 6, 8])]),
    one("BROADCAST_TO", [f32([3, 1]), i32([2, 3, 4])], [f32([2, 3, 4])]),
    one("SPACE_TO_DEPTH", [image], [f32([1, 2, 3, 32])], S.SPACE_TO_DEPTH_OPTIONS, {
      blockSize: 2,
    }),
    one("DEPTH_TO_SPACE", [image], [f32([1, 8, 12, 2])], S.DEPTH_TO_SPACE_OPTIONS, {
      blockSize: 2,
    }),
    one("SPACE_TO_BATCH_ND", [image, i32([2, 3]), i32([0, 0, 1, 2], [2, 2])], [f32([6, 2, 3, 8])]),
    one(
      "BATCH_TO_SPACE_ND",
      [f32([6, 2, 3, 2]), i32([2, 3]), i32([1, 0, 0, 2], [2, 2])],
      [f32([1, 3, 7, 2])],
    ),
    one("TOPK_V2", [f32([3, 9]), i32([4], [])], [f32([3, 4]), int("INT32", [3, 4])]),
  ];
}

function reductions(): TfliteCase[] {
  const ops = ["SUM", "MEAN", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD"];
  const x = q([1, 7, 7, 6], 0.05, 3);
  const keep = { keepDims: true };
  return [
    ...ops.map((op) =>
      one(`${op} float`, [f32([2, 3, 4]), i32([-1, 0])], [f32([3])], S.REDUCER_OPTIONS, {}),
    ),
    one("MEAN int8", [x, i32([1, 2])], [q([1, 6], 0.02, -7)], S.REDUCER_OPTIONS, {}),
    one("MEAN int8 same", [x, i32([1, 2])], [q([1, 1, 1, 6], 0.05, 3)], S.REDUCER_OPTIONS, keep),
    one("MEAN int8 last", [x, i32([3])], [q([1, 7, 7], 0.04, 3)], S.REDUCER_OPTIONS, {}),
    one("SUM int8", [x, i32([1, 2])], [q([1, 6], 1.3, -7)], S.REDUCER_OPTIONS, {}),
    one("REDUCE_MAX int8", [x, i32([1, 2])], [q([1, 6], 0.05, 3)], S.REDUCER_OPTIONS, {}),
    one("REDUCE_ANY", [int("BOOL", [3, 4]), i32([1])], [int("BOOL", [3])], S.REDUCER_OPTIONS, {}),
    one("REDUCE_ALL", [int("BOOL", [3, 4]), i32([1])], [int("BOOL", [3])], S.REDUCER_OPTIONS, {}),
    one("ARG_MAX", [f32([3, 9]), i32([1], [])], [int("INT64", [3])], S.ARG_MAX_OPTIONS, {
      outputType: 4,
    }),
    one("ARG_MIN", [q([3, 9], 0.1, 0), i32([1], [])], [int("INT32", [3])], S.ARG_MIN_OPTIONS, {
      outputType: 2,
    }),
    one("CUMSUM", [f32([3, 5]), i32([1], [])], [f32([3, 5])], S.CUMSUM_OPTIONS, {
      exclusive: true,
    }),
    one(
      "ONE_HOT",
      [i32([0, 2, 1]), i32([4], []), f32([], Float32Array.of(1)), f32([], Float32Array.of(0))],
      [f32([3, 4])],
      S.ONE_HOT_OPTIONS,
      { axis: -1 },
    ),
    one("SHAPE", [f32([3, 5])], [int("INT32", [2])], S.SHAPE_OPTIONS, { outType: 2 }),
    one("ZEROS_LIKE", [f32([3, 5])], [f32([3, 5])]),
    one("FILL", [i32([2, 3]), f32([], Float32Array.of(7))], [f32([2, 3])]),
  ];
}

/** All cases; the same bytes on every call. */
export const tfliteCases: readonly TfliteCase[] = [
  ...convolutions(),
  ...pools(),
  ...elementwise(),
  ...movement(),
  ...reductions(),
];
