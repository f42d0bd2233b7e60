/** @file The reductions and their relatives. */
import type { Op } from "../../graph/op.ts";
import { argMax, argMin } from "./arg.ts";
import { reduceMean } from "./reduce-mean.ts";
import {
  reduceL1,
  reduceL2,
  reduceLogSum,
  reduceLogSumExp,
  reduceMax,
  reduceMin,
  reduceProd,
  reduceSum,
  reduceSumSquare,
} from "./reductions.ts";
import { logSoftmax, softmax } from "./softmax.ts";

export { argMax, argMin } from "./arg.ts";
export { reduceMean } from "./reduce-mean.ts";
export * from "./reductions.ts";
export { logSoftmax, softmax } from "./softmax.ts";

export const reduceOps = {
  arg_max: argMax,
  arg_min: argMin,
  log_softmax: logSoftmax,
  reduce_l1: reduceL1,
  reduce_l2: reduceL2,
  reduce_log_sum: reduceLogSum,
  reduce_log_sum_exp: reduceLogSumExp,
  reduce_mean: reduceMean,
  reduce_max: reduceMax,
  reduce_min: reduceMin,
  reduce_prod: reduceProd,
  reduce_sum: reduceSum,
  reduce_sum_square: reduceSumSquare,
  softmax,
} satisfies Record<string, Op>;
