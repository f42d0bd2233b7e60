/** @file Core operators that move elements or reduce axes, as ONNX nodes. */
import type { Attrs } from "../../../graph/op.ts";
import { quantizeValue } from "../../../tensor/quant.ts";
import { channelsLast, type ExportContext, type ExportEntry, quantized } from "./context.ts";
import type { ExportTable } from "./elementwise.ts";
import { type AttributeMap, int, text } from "./writer.ts";

const iota = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

/** A node on the integers or reals as they are. */
const moving = <A extends Attrs>(
  opType: string,
  attributes: (a: A) => AttributeMap = () => ({}),
): ExportEntry<A> => ({
  integers: true,
  run: (x) => x.w.emit(opType, x.raws(), attributes(x.attrs)),
});

/** A node between layouts that ONNX knows channels first only. */
const spatial = <A extends { readonly layout: string }>(
  opType: string,
  attributes: (a: A) => AttributeMap,
): ExportEntry<A> => ({
  integers: true,
  run: (x) => {
    const { layout } = x.attrs;
    const y = x.w.emit(opType, [x.rawFirst(0, layout)], attributes(x.attrs));
    return layout === "nchw" ? y : x.transpose(y, channelsLast(x.rank(0)));
  },
});

/** Beyond every axis: the end of a backward slice that includes index 0. */
const BEFORE_ALL = -(2 ** 31);

const reduce = (
  opType: string,
): ExportEntry<{ readonly axes: readonly number[]; readonly keepDims: boolean }> => ({
  run: (x) => {
    const { axes, keepDims } = x.attrs;
    if (axes.length === 0) return x.w.emit("Identity", [x.real(0)]);
    return x.w.emit(opType, [x.real(0), x.w.vector(axes)], { keepdims: int(keepDims) });
  },
});

const arg = (
  opType: string,
): ExportEntry<{
  readonly axis: number;
  readonly keepDims: boolean;
  readonly selectLast: boolean;
}> => ({
  run: (x) =>
    x.w.emit(opType, [x.real(0)], {
      axis: int(x.attrs.axis),
      keepdims: int(x.attrs.keepDims),
      select_last_index: int(x.attrs.selectLast),
    }),
});

const cumulative = (
  opType: string,
): ExportEntry<{
  readonly axis: number;
  readonly exclusive: boolean;
  readonly reverse: boolean;
}> => ({
  run: (x) =>
    x.w.emit(opType, [x.real(0), x.w.scalar("i64", x.attrs.axis)], {
      exclusive: int(x.attrs.exclusive),
      reverse: int(x.attrs.reverse),
    }),
});

/** The padding value as the operand's dtype stores it. */
function padValue(x: ExportContext, value: number): string {
  const { dtype, quant } = x.type(0);
  if (quant === undefined) return x.w.scalar(dtype, value);
  return x.w.scalar(dtype, quantizeValue(value, quant.scale[0]!, quant.zeroPoint[0]!, dtype));
}

export const moveExports: ExportTable = {
  reshape: { integers: true, run: (x) => x.reshape(x.raw(0), x.attrs.shape) },
  transpose: { integers: true, run: (x) => x.transpose(x.raw(0), x.attrs.perm) },
  slice: {
    integers: true,
    run: (x) => {
      const { start, size, step } = x.attrs;
      const ends = start.map((s, i) => {
        const end = s + size[i]! * step[i]!;
        return end < 0 ? BEFORE_ALL : end;
      });
      const parts = [start, ends, iota(start.length), step].map((v) => x.w.vector(v));
      return x.w.emit("Slice", [x.raw(0), ...parts]);
    },
  },
  concat: moving("Concat", (a) => ({ axis: int(a.axis) })),
  split: {
    integers: true,
    run: (x) => {
      const { axis, sizes } = x.attrs;
      return x.w.emitAll("Split", [x.raw(0), x.w.vector(sizes)], { axis: int(axis) }, sizes.length);
    },
  },
  pad: {
    integers: true,
    run: (x) => {
      const { before, after, mode, value } = x.attrs;
      const ins = [x.raw(0), x.w.vector([...before, ...after])];
      if (mode === "constant") ins.push(padValue(x, value ?? 0));
      return x.w.emit("Pad", ins, { mode: text(mode) });
    },
  },
  expand: {
    integers: true,
    run: (x) => x.w.emit("Expand", [x.raw(0), x.w.vector(x.attrs.shape)]),
  },
  tile: {
    integers: true,
    run: (x) => x.w.emit("Tile", [x.raw(0), x.w.vector(x.attrs.repeats)]),
  },
  gather: moving("Gather", (a) => ({ axis: int(a.axis) })),
  gather_elements: moving("GatherElements", (a) => ({ axis: int(a.axis) })),
  gather_nd: moving("GatherND", (a) => ({ batch_dims: int(a.batchDims) })),
  scatter_elements: moving("ScatterElements", (a) => ({
    axis: int(a.axis),
    reduction: text(a.reduction),
  })),
  scatter_nd: moving("ScatterND", (a) => ({ reduction: text(a.reduction) })),
  depth_to_space: spatial("DepthToSpace", (a) => ({
    blocksize: int(a.block),
    mode: text(a.mode.toUpperCase()),
  })),
  space_to_depth: spatial("SpaceToDepth", (a) => ({ blocksize: int(a.block) })),
  reverse_sequence: {
    integers: true,
    run: (x) =>
      x.w.emit("ReverseSequence", [x.raw(0), x.w.emit("Cast", [x.raw(1)], { to: int(7) })], {
        batch_axis: int(x.attrs.batchAxis),
        time_axis: int(x.attrs.timeAxis),
      }),
  },
  one_hot: {
    integers: true,
    run: (x) =>
      x.w.emit("OneHot", [x.raw(0), x.w.scalar("i64", x.attrs.depth), x.raw(1)], {
        axis: int(x.attrs.axis),
      }),
  },
  trilu: {
    integers: true,
    run: (x) =>
      x.w.emit("Trilu", [x.raw(0), x.w.scalar("i64", x.attrs.k)], { upper: int(x.attrs.upper) }),
  },
  cum_sum: cumulative("CumSum"),
  top_k: {
    integers: true,
    run: (x) => {
      const { axis, k, largest, sorted } = x.attrs;
      const attributes = { axis: int(axis), largest: int(largest), sorted: int(sorted) };
      return x.w.emitAll("TopK", [x.raw(0), x.w.vector([k])], attributes, 2);
    },
  },
  reduce_sum: reduce("ReduceSum"),
  reduce_mean: reduce("ReduceMean"),
  reduce_max: reduce("ReduceMax"),
  reduce_min: reduce("ReduceMin"),
  reduce_prod: reduce("ReduceProd"),
  reduce_l1: reduce("ReduceL1"),
  reduce_l2: reduce("ReduceL2"),
  reduce_log_sum: reduce("ReduceLogSum"),
  reduce_log_sum_exp: reduce("ReduceLogSumExp"),
  reduce_sum_square: reduce("ReduceSumSquare"),
  arg_max: arg("ArgMax"),
  arg_min: arg("ArgMin"),
  softmax: { run: (x) => x.w.emit("Softmax", [x.real(0)], { axis: int(x.attrs.axis) }) },
  log_softmax: { run: (x) => x.w.emit("LogSoftmax", [x.real(0)], { axis: int(x.attrs.axis) }) },
  quantize: { integers: true, run: (x) => quantized(x.w, x.raw(0), x.attrs.out) },
  dequantize: { run: (x) => x.w.emit("Identity", [x.real(0)]) },
  requantize: { run: (x) => x.real(0) },
  assume_quant: { integers: true, run: (x) => x.raw(0) },
  strip_quant: { integers: true, run: (x) => x.raw(0) },
  lut: {
    integers: true,
    run: (x) => {
      const wide = x.w.emit("Cast", [x.raw(0)], { to: int(6) });
      const isSigned = x.type(0).dtype === "i8";
      const index = isSigned ? x.w.emit("Add", [wide, x.w.scalar("i32", 128)]) : wide;
      return x.w.emit("Gather", [x.raw(1), index], { axis: int(0) });
    },
  },
};
