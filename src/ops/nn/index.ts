/** @file The neural-network operators. */
import type { Op } from "../../graph/op.ts";
import { acdc } from "./acdc.ts";
import { averagePool } from "./average-pool.ts";
import { batchNorm } from "./batch-norm.ts";
import { batchNormTraining, batchNormTrainingBackward } from "./batch-norm-training.ts";
import { conv } from "./conv.ts";
import { convBackwardWeights } from "./conv-backward-weights.ts";
import { convTranspose } from "./conv-transpose.ts";
import { dct } from "./dct.ts";
import { detectionPostprocess } from "./detection-postprocess.ts";
import { gridSample } from "./grid-sample.ts";
import { hashedGradient, hashedWeights } from "./hashed-weights.ts";
import { instanceNorm } from "./instance-norm.ts";
import { linear } from "./linear.ts";
import { lpPool } from "./lp-pool.ts";
import { lrn } from "./lrn.ts";
import { matmul } from "./matmul.ts";
import { maxPool } from "./max-pool.ts";
import { maxPoolBackward } from "./max-pool-backward.ts";
import { maxPoolIndices } from "./max-pool-indices.ts";
import { nonMaxSuppression } from "./non-max-suppression.ts";
import { resize } from "./resize.ts";
import { roiAlign } from "./roi-align.ts";
import { layerNorm, rmsNorm } from "./row-norm.ts";

export const nnOps = {
  conv,
  linear,
  matmul,
  max_pool: maxPool,
  average_pool: averagePool,
  lp_pool: lpPool,
  max_pool_indices: maxPoolIndices,
  batch_norm: batchNorm,
  batch_norm_training: batchNormTraining,
  batch_norm_training_backward: batchNormTrainingBackward,
  layer_norm: layerNorm,
  rms_norm: rmsNorm,
  instance_norm: instanceNorm,
  lrn,
  conv_transpose: convTranspose,
  conv_backward_weights: convBackwardWeights,
  max_pool_backward: maxPoolBackward,
  resize,
  grid_sample: gridSample,
  roi_align: roiAlign,
  non_max_suppression: nonMaxSuppression,
  detection_postprocess: detectionPostprocess,
  dct,
  acdc,
  hashed_weights: hashedWeights,
  hashed_gradient: hashedGradient,
} satisfies Record<string, Op>;
