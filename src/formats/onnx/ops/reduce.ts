/** @file ONNX reductions and softmax. */
import type { Value } from "../../../graph/graph.ts";
import type { Op } from "../../../graph/op.ts";
import { elementCount } from "../../../tensor/tensor.ts";
import type { Importer, ImportTable, OpContext } from "../context.ts";
import { core } from "../core.ts";

const iota = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

/** Axes moved from attribute to operand in opset 13 (ReduceSum) and 18 (the others). */
const reduction =
  (op: Op): Importer =>
  (c) => {
    const x = c.in(0);
    const rank = c.e.rank(x);
    const given = c.list("axes", 1) ?? [];
    const noop = given.length === 0 && c.attrs.flag("noop_with_empty_axes", false);
    const axes = given.length > 0 ? c.axes(given, rank) : noop ? [] : iota(rank);
    return c.e.reduce(op, x, axes, c.attrs.flag("keepdims", true));
  };

const arg =
  (op: typeof core.arg_max | typeof core.arg_min): Importer =>
  (c) => {
    const x = c.in(0);
    return c.e.apply(op, [x], {
      axis: c.axis(c.attrs.int("axis", 0), c.e.rank(x)),
      keepDims: c.attrs.flag("keepdims", true),
      selectLast: c.attrs.flag("select_last_index", false),
    });
  };

/** Before opset 13 the operand is taken as a matrix, cut before `axis`. */
function asMatrix(c: OpContext, run: (x: Value, axis: number) => Value): Value {
  const x = c.in(0);
  const dims = c.e.shape(x);
  if (c.opset >= 13) return run(x, c.axis(c.attrs.int("axis", -1), dims.length));
  const axis = c.axis(c.attrs.int("axis", 1), dims.length);
  if (axis === dims.length - 1) return run(x, axis);
  const flat = [elementCount(dims.slice(0, axis)), elementCount(dims.slice(axis))];
  return c.e.reshape(run(c.e.reshape(x, flat), 1), dims);
}

export const reduceImports: ImportTable = {
  ReduceSum: reduction(core.reduce_sum as Op),
  ReduceMean: reduction(core.reduce_mean as Op),
  ReduceMax: reduction(core.reduce_max as Op),
  ReduceMin: reduction(core.reduce_min as Op),
  ReduceProd: reduction(core.reduce_prod as Op),
  ReduceL1: reduction(core.reduce_l1 as Op),
  ReduceL2: reduction(core.reduce_l2 as Op),
  ReduceLogSum: reduction(core.reduce_log_sum as Op),
  ReduceLogSumExp: reduction(core.reduce_log_sum_exp as Op),
  ReduceSumSquare: reduction(core.reduce_sum_square as Op),
  ArgMax: arg(core.arg_max),
  ArgMin: arg(core.arg_min),
  Softmax: (c) => asMatrix(c, (x, axis) => c.e.softmax(x, axis)),
  LogSoftmax: (c) => asMatrix(c, (x, axis) => c.e.apply(core.log_softmax, [x], { axis })),
};
