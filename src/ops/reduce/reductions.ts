/** @file The reductions without a definition on integers of their own: `reduce_mean` has its own file. */
import { defineReduce } from "./define.ts";
import { REDUCERS } from "./reducers.ts";

export const reduceSum = defineReduce("reduce_sum", REDUCERS.sum);
export const reduceMax = defineReduce("reduce_max", REDUCERS.max);
export const reduceMin = defineReduce("reduce_min", REDUCERS.min);
export const reduceProd = defineReduce("reduce_prod", REDUCERS.prod);
export const reduceL1 = defineReduce("reduce_l1", REDUCERS.l1);
export const reduceL2 = defineReduce("reduce_l2", REDUCERS.l2);
export const reduceLogSum = defineReduce("reduce_log_sum", REDUCERS.log_sum);
export const reduceLogSumExp = defineReduce("reduce_log_sum_exp", REDUCERS.log_sum_exp);
export const reduceSumSquare = defineReduce("reduce_sum_square", REDUCERS.sum_square);
