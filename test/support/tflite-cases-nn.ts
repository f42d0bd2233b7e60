/** @file TensorFlow Lite cases: convolutions, matrix products, pooling, softmax, resizing. */
import * as S from "../../src/formats/tflite/schema.ts";
import {
  bias,
  f32,
  i32,
  one,
  plainWeights,
  q,
  reals,
  rng,
  type TfliteCase,
  u,
  weights,
} from "./tflite-parts.ts";
import type { WriteTensor } from "./tflite-writer.ts";

const POOL = { strideW: 2, strideH: 2, filterW: 3, filterH: 3 };
const ONE = { strideW: 1, strideH: 1 };

export function convolutions(): TfliteCase[] {
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

export function pools(): TfliteCase[] {
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

export function recurrent(): TfliteCase[] {
  const [batch, time, size, units] = [2, 3, 4, 5];
  const state = { ...f32([batch, units]), isVariable: true };
  const four = (make: () => WriteTensor): WriteTensor[] => [0, 1, 2, 3].map(make);
  const lstm = (name: string, timeMajor: boolean): TfliteCase => {
    const order = timeMajor ? [time, batch] : [batch, time];
    const gates = [
      ...four(() => reals([units, size])),
      ...four(() => reals([units, units])),
      null,
      null,
      null,
      ...four(() => reals([units])),
    ];
    const ins = [f32([...order, size]), ...gates, null, null, { ...state }, { ...state }];
    return one(name, ins, [f32([...order, units])], S.SEQUENCE_LSTM_OPTIONS, {
      activation: 4,
      cellClip: 10,
      timeMajor,
    });
  };
  return [
    lstm("UNIDIRECTIONAL_SEQUENCE_LSTM", false),
    lstm("UNIDIRECTIONAL_SEQUENCE_LSTM time major", true),
  ];
}
