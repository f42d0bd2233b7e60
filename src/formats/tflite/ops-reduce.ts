/** @file Reductions, index operators, and operators that make tensors from shapes. */
import type { Value } from "../../graph/graph.ts";
import type { DType } from "../../tensor/dtype.ts";
import { forEachIndex } from "../../tensor/shape.ts";
import { elementCount, numberReader, scalarOf, tensorOf, zeros } from "../../tensor/tensor.ts";
import { core } from "../core.ts";
import { checkLimit, checkShape, LIMITS } from "../limits.ts";
import { cast, reshape } from "./common.ts";
import { type Handler, type Handlers, malformed, type OpContext, unsupported } from "./context.ts";
import {
  ARG_MAX_OPTIONS,
  ARG_MIN_OPTIONS,
  CUMSUM_OPTIONS,
  ONE_HOT_OPTIONS,
  type OptionTable,
  REDUCER_OPTIONS,
} from "./schema.ts";

/** Axes from input 1, ascending. */
function reduceAxes(c: OpContext): { axes: number[]; keepDims: boolean } {
  const rank = c.shape(c.in(0)).length;
  const axes = new Set(c.numbers(1, "axes").map((a) => c.axis(a, rank)));
  const { keepDims } = c.options(REDUCER_OPTIONS);
  return { axes: [...axes].sort((a, b) => a - b), keepDims };
}

const reduce =
  (op: typeof core.reduce_sum): Handler =>
  (c) =>
    c.emit(op, [c.in(0)], { ...reduceAxes(c), ...c.outAttr() });

function mean(c: OpContext): Value {
  const out = c.out();
  const quantised = out !== undefined && c.type(c.in(0)).quant !== undefined;
  const arith = quantised ? { out, arith: c.arith } : {};
  return c.emit(core.reduce_mean, [c.in(0)], { ...reduceAxes(c), ...arith });
}

/** On bools: the largest or smallest of 0 and 1. */
const logical =
  (op: typeof core.reduce_max): Handler =>
  (c) => {
    const bits = cast(c, c.in(0), "u8");
    return cast(c, c.emit(op, [bits], reduceAxes(c)), "bool");
  };

const argOf =
  (
    op: typeof core.arg_max,
    options: OptionTable<{ readonly outputType: readonly [number, "i8"] }>,
  ): Handler =>
  (c) => {
    c.options(options);
    const axis = c.axis(c.number(1, "axis"), c.shape(c.in(0)).length);
    const at = c.emit(op, [c.in(0)], { axis, keepDims: false, selectLast: false });
    return cast(c, at, c.declared().dtype);
  };

/** Constant integers of the type declared for output 0. */
function integers(c: OpContext, shape: readonly number[], values: ArrayLike<number>): Value {
  return c.g.constant(tensorOf(c.declared().dtype, shape, values), c.name);
}

function range(c: OpContext): Value {
  const [from, to, step] = [c.number(0, "start"), c.number(1, "limit"), c.number(2, "delta")];
  const n = Math.max(0, Math.ceil((to - from) / step));
  if (step === 0 || !Number.isFinite(n)) throw malformed(`range ${from}..${to} by ${step}`);
  checkLimit("elements of a range", n, LIMITS.computedElements);
  const values = Float64Array.from({ length: n }, (_, i) => from + i * step);
  return integers(c, [n], values);
}

/** Indices of the elements that are not zero, one row each. */
function where(c: OpContext): Value {
  const t = c.constant(0, "condition");
  checkLimit("elements of a condition", t.data.length, LIMITS.computedElements);
  const read = numberReader(t);
  const rows: number[] = [];
  forEachIndex(t.type.shape, (index, flat) => {
    if (read(flat) !== 0) rows.push(...index);
  });
  const rank = t.type.shape.length;
  return integers(c, [rank === 0 ? 1 : rows.length / rank, rank], rows);
}

/** `value` (a scalar) repeated to a shape; small results are constants. */
function filled(c: OpContext, value: Value, shape: readonly number[]): Value {
  checkShape(shape, c.name);
  return shape.length === 0 ? value : c.emit(core.expand, [value], { shape });
}

function zerosLike(c: OpContext): Value {
  const { dtype, shape, quant } = c.type(c.in(0));
  const zero = scalarOf(dtype, quant?.zeroPoint[0] ?? 0);
  const typed = quant === undefined ? zero.type : { ...zero.type, quant };
  return filled(c, c.g.constant({ type: typed, data: zero.data }), shape);
}

function oneHot(c: OpContext): Value {
  const depth = c.number(1, "depth");
  const rank = c.shape(c.in(0)).length;
  const axis = c.axis(c.options(ONE_HOT_OPTIONS).axis, rank + 1);
  const pair = [c.in(3), c.in(2)].map((v) => reshape(c, v, [1]));
  const values = c.emit(core.concat, pair, { axis: 0 });
  return c.emit(core.one_hot, [c.in(0), values], { axis, depth });
}

function cumSum(c: OpContext): Value {
  const { exclusive, reverse } = c.options(CUMSUM_OPTIONS);
  const axis = c.axis(c.number(1, "axis"), c.shape(c.in(0)).length);
  return c.emit(core.cum_sum, [c.in(0)], { axis, exclusive, reverse, ...c.outAttr() });
}

function scatterNd(c: OpContext): Value {
  const shape = c.numbers(2, "shape");
  checkShape(shape, c.name);
  const { dtype, quant } = c.type(c.in(1));
  if (quant !== undefined) throw unsupported("scatter of quantised values");
  checkLimit("elements scattered into", elementCount(shape), LIMITS.computedElements);
  const base = c.g.constant(zeros({ dtype, shape }));
  return c.emit(core.scatter_nd, [base, c.in(0), c.in(1)], { reduction: "add" });
}

const shapeOf = (c: OpContext): Value => {
  const shape = c.shape(c.in(0));
  return integers(c, [shape.length], shape);
};

const INDEX_TYPES: readonly DType[] = ["i32", "i64"];

export const reduceHandlers: Handlers = {
  SUM: reduce(core.reduce_sum),
  REDUCE_MAX: reduce(core.reduce_max),
  REDUCE_MIN: reduce(core.reduce_min),
  REDUCE_PROD: reduce(core.reduce_prod),
  REDUCE_ANY: logical(core.reduce_max),
  REDUCE_ALL: logical(core.reduce_min),
  MEAN: mean,
  ARG_MAX: argOf(core.arg_max, ARG_MAX_OPTIONS),
  ARG_MIN: argOf(core.arg_min, ARG_MIN_OPTIONS),
  CUMSUM: cumSum,
  SHAPE: shapeOf,
  RANK: (c) => integers(c, [], [c.shape(c.in(0)).length]),
  RANGE: range,
  WHERE: where,
  FILL: (c) => {
    const dims = c.numbers(0, "shape");
    if (!INDEX_TYPES.includes(c.type(c.in(0)).dtype)) throw malformed("the shape is not integer");
    return filled(c, c.in(1), dims);
  },
  ZEROS_LIKE: zerosLike,
  ONE_HOT: oneHot,
  SCATTER_ND: scatterNd,
};
