/** @file TensorFlow Lite cases: moving elements, reductions, tensors made from shapes. */
import * as S from "../../src/formats/tflite/schema.ts";
import { f32, i32, int, one, q, type TfliteCase, u } from "./tflite-parts.ts";

export function movement(): TfliteCase[] {
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

export function reductions(): TfliteCase[] {
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
    one("RANK", [f32([3, 5])], [int("INT32", [])]),
    one("RANGE", [i32([2], []), i32([9], []), i32([3], [])], [int("INT32", [3])]),
    one(
      "WHERE",
      [{ ...int("BOOL", [4]), data: Uint8Array.of(1, 0, 0, 1) }],
      [int("INT64", [2, 1])],
    ),
    one("SCATTER_ND", [i32([1, 3], [2, 1]), f32([2, 2]), i32([4, 2])], [f32([4, 2])]),
    one("EMBEDDING_LOOKUP", [i32([2, 0]), f32([3, 4])], [f32([2, 4])]),
    one("FILL", [i32([2, 3]), f32([], Float32Array.of(7))], [f32([2, 3])]),
  ];
}
