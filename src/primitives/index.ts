/** @file The table of primitives: per operator, most preferred first. */
import { averagePoolBytes, averagePoolF32 } from "./average-pool/nhwc.ts";
import { batchNormTrainingBackwardF32 } from "./batch-norm-training/backward.ts";
import { batchNormTrainingF32 } from "./batch-norm-training/forward.ts";
import { convF32Blocks } from "./conv/f32-blocks.ts";
import { convF32Depthwise } from "./conv/f32-depthwise.ts";
import { convF32Gemm } from "./conv/f32-gemm.ts";
import { convF32Im2row } from "./conv/f32-im2row.ts";
import { convF32Kn2row } from "./conv/f32-kn2row.ts";
import { convF32Spmm } from "./conv/f32-spmm.ts";
import { convF32Winograd } from "./conv/f32-winograd.ts";
import { convI8Depthwise } from "./conv/i8-depthwise.ts";
import { convI8DepthwisePairs } from "./conv/i8-depthwise-pairs.ts";
import { convI8DepthwiseWide } from "./conv/i8-depthwise-wide.ts";
import { convI8Gemm } from "./conv/i8-gemm.ts";
import { convI8Spmm } from "./conv/i8-spmm.ts";
import { convI8Winograd } from "./conv/i8-winograd.ts";
import { convBackwardWeightsF32 } from "./conv-backward-weights/f32.ts";
import { convBackwardWeightsF32Depthwise } from "./conv-backward-weights/f32-depthwise.ts";
import { linearF32Blocks } from "./linear/f32-blocks.ts";
import { linearF32Gemm } from "./linear/f32-gemm.ts";
import { linearF32Hashed } from "./linear/f32-hashed.ts";
import { linearF32Im2row } from "./linear/f32-im2row.ts";
import { linearI8Gemm } from "./linear/i8-gemm.ts";
import { lutI8HardSwish } from "./lut/i8-hard-swish.ts";
import { matmulF32 } from "./matmul/f32.ts";
import { matmulI8 } from "./matmul/i8.ts";
import { maxPoolNhwc } from "./max-pool/nhwc.ts";
import { layerNormRows, rmsNormRows } from "./norm/f32-rows.ts";
import type { Primitive } from "./primitive.ts";
import { reduceMeanColumns, reduceSumColumns } from "./reduce/f32-columns.ts";
import { resizeNhwc } from "./resize/nhwc.ts";

export const primitives: Readonly<Record<string, readonly Primitive[]>> = {
  conv: [
    convF32Depthwise,
    convI8DepthwiseWide,
    convI8DepthwisePairs,
    convI8Depthwise,
    convF32Gemm,
    convF32Winograd,
    convF32Im2row,
    convF32Kn2row,
    convI8Gemm,
    convI8Winograd,
    convF32Spmm,
    convI8Spmm,
    convF32Blocks,
  ],
  batch_norm_training: [batchNormTrainingF32],
  batch_norm_training_backward: [batchNormTrainingBackwardF32],
  conv_backward_weights: [convBackwardWeightsF32, convBackwardWeightsF32Depthwise],
  average_pool: [averagePoolF32, averagePoolBytes],
  lut: [lutI8HardSwish],
  max_pool: [maxPoolNhwc],
  layer_norm: [layerNormRows],
  rms_norm: [rmsNormRows],
  reduce_mean: [reduceMeanColumns],
  reduce_sum: [reduceSumColumns],
  resize: [resizeNhwc],
  matmul: [matmulF32, matmulI8],
  linear: [linearF32Gemm, linearF32Im2row, linearI8Gemm, linearF32Blocks, linearF32Hashed],
};
