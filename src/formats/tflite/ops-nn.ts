/** @file Convolutions, matrix products, pooling, softmax, normalisation and resizing. */
import type { Value } from "../../graph/graph.ts";
import type { Arith, OutQuant } from "../../graph/op.ts";
import type { TensorType } from "../../tensor/tensor.ts";
import { product } from "../../util/math.ts";
import { core } from "../core.ts";
import {
  activate,
  asDeclared,
  asReal,
  clampOf,
  expectRank,
  padding,
  positive,
  reshape,
  scalar,
  transpose,
} from "./common.ts";
import { type Handlers, malformed, type OpContext, outQuantOf, unsupported } from "./context.ts";
import {
  BATCH_MATMUL_OPTIONS,
  CONV_2D_OPTIONS,
  DEPTHWISE_CONV_2D_OPTIONS,
  FULLY_CONNECTED_OPTIONS,
  L2_NORM_OPTIONS,
  LRN_OPTIONS,
  POOL_2D_OPTIONS,
  RESIZE_BILINEAR_OPTIONS,
  RESIZE_NEAREST_OPTIONS,
  SOFTMAX_OPTIONS,
  TRANSPOSE_CONV_OPTIONS,
} from "./schema.ts";
import { depthwiseWeights } from "./tensors.ts";

/** The weights of a float operator: integers kept in the file are dequantised at the operator. */
interface Operands {
  readonly ins: readonly Value[];
  readonly quantised: boolean;
}

/**
 * x, w and bias of a contraction: all quantised, or all real (dynamic-range files keep int8
 * weights).
 */
function operands(c: OpContext, x: Value, w: Value, bias: Value | undefined): Operands {
  const quantised = c.type(x).quant !== undefined;
  const tail = bias === undefined ? [] : [bias];
  if (quantised) return { ins: [x, w, ...tail], quantised };
  return { ins: [x, w, ...tail].map((v) => asReal(c, v)), quantised };
}

const isI16 = (t: TensorType): boolean => t.quant !== undefined && t.dtype === "i16";

/** Attributes of a quantised contraction with its fused activation; nothing for floats. */
function contraction(
  c: OpContext,
  quantised: boolean,
  activation: number,
): { act?: { fn: string }; out?: OutQuant; arith?: Arith } {
  if (!quantised) return {};
  const out = c.out();
  if (out === undefined) throw malformed("the input is quantised and the output is not");
  if (isI16(c.type(c.in(0)))) throw unsupported("16-bit quantised activations");
  const act = clampOf(activation);
  return act === null ? { out, arith: c.arith } : { out, arith: c.arith, act };
}

/** Attributes of a 2-D window over an NHWC input. */
function window(
  x: readonly number[],
  kernel: readonly [number, number],
  scheme: number,
  stride: readonly [number, number],
  dilation: readonly [number, number] = [1, 1],
) {
  const pads = kernel.map((k, i) =>
    padding(
      scheme,
      x[i + 1]!,
      positive("window size", k),
      positive("stride", stride[i]!),
      positive("dilation", dilation[i]!),
    ),
  );
  return {
    layout: "nhwc" as const,
    stride,
    padBegin: pads.map((p) => p.before),
    padEnd: pads.map((p) => p.after),
    dilation,
  };
}

function conv2d(c: OpContext): Value {
  const o = c.options(CONV_2D_OPTIONS);
  const x = expectRank(c, c.in(0), 4, "input");
  const w = expectRank(c, c.in(1), 4, "filter");
  const { ins, quantised } = operands(c, c.in(0), c.in(1), c.maybe(2));
  const at = window(
    x,
    [w[1]!, w[2]!],
    o.padding,
    [o.strideH, o.strideW],
    [o.dilationH, o.dilationW],
  );
  const groups = x[3]! / Math.max(1, w[3]!);
  if (!Number.isInteger(groups) || groups < 1) {
    throw malformed(`${x[3]} input channels do not fit filter [${w}]`);
  }
  const y = c.emit(core.conv, ins, { ...at, groups, ...contraction(c, quantised, o.activation) });
  return quantised ? y : activate(c, y, o.activation);
}

/** [1, kh, kw, C] to [C, kh, kw, 1]: constants are rewritten, computed weights get a transpose. */
function depthwiseFilter(c: OpContext, w: Value): Value {
  const t = c.g.constantOf(w);
  if (t !== undefined) return c.g.constant(depthwiseWeights(t), c.name);
  return transpose(c, w, [3, 1, 2, 0]);
}

function depthwiseConv2d(c: OpContext): Value {
  const o = c.options(DEPTHWISE_CONV_2D_OPTIONS);
  const x = expectRank(c, c.in(0), 4, "input");
  const w = expectRank(c, c.in(1), 4, "filter");
  if (w[0] !== 1 || w[3]! % Math.max(1, x[3]!) !== 0) {
    throw malformed(`${x[3]} input channels do not fit depthwise filter [${w}]`);
  }
  const filter = depthwiseFilter(c, c.in(1));
  const { ins, quantised } = operands(c, c.in(0), filter, c.maybe(2));
  const at = window(
    x,
    [w[1]!, w[2]!],
    o.padding,
    [o.strideH, o.strideW],
    [o.dilationH, o.dilationW],
  );
  const fused = contraction(c, quantised, o.activation);
  const y = c.emit(core.conv, ins, { ...at, groups: x[3]!, ...fused });
  return quantised ? y : activate(c, y, o.activation);
}

function transposeConv(c: OpContext): Value {
  const o = c.options(TRANSPOSE_CONV_OPTIONS);
  const size = c.numbers(0, "output shape");
  const w = expectRank(c, c.in(1), 4, "filter");
  const x = expectRank(c, c.in(2), 4, "input");
  if (size.length !== 4) throw malformed(`output shape [${size}] is not of rank 4`);
  const stride = [positive("stride", o.strideH), positive("stride", o.strideW)];
  const pads = stride.map((s, i) => padding(o.padding, size[i + 1]!, w[i + 1]!, s, 1));
  const outputPad = stride.map((s, i) => {
    const covered = (x[i + 1]! - 1) * s + w[i + 1]! - pads[i]!.before - pads[i]!.after;
    return size[i + 1]! - covered;
  });
  if (outputPad.some((p) => p < 0))
    throw malformed(`output shape [${size}] does not fit the input`);
  const bias = c.maybe(3);
  const tail = bias === undefined ? [] : [realBias(c, bias, c.in(2), c.in(1))];
  // [O, kh, kw, I] to [I, kh, kw, O].
  const filter = transpose(c, asReal(c, c.in(1)), [3, 1, 2, 0]);
  const y = c.emit(core.conv_transpose, [asReal(c, c.in(2)), filter, ...tail], {
    layout: "nhwc",
    stride,
    padBegin: pads.map((p) => p.before),
    padEnd: pads.map((p) => p.after),
    dilation: [1, 1],
    outputPad,
    groups: 1,
  });
  return asDeclared(c, activate(c, y, o.activation));
}

/** An integer bias as reals: its scale is the product of the operands' scales. */
function realBias(c: OpContext, bias: Value, x: Value, w: Value): Value {
  const sx = c.type(x).quant;
  const sw = c.type(w).quant;
  if (c.type(bias).dtype !== "i32" || sx === undefined || sw === undefined) return asReal(c, bias);
  const scale = sw.scale.map((s) => Math.fround(s * sx.scale[0]!));
  const zeroPoint = scale.map(() => 0);
  const axis = scale.length === 1 ? null : 0;
  const out = { dtype: "i32" as const, scale, zeroPoint, axis };
  return c.emit(core.dequantize, [c.emit(core.assume_quant, [bias], { out })]);
}

function fullyConnected(c: OpContext): Value {
  const o = c.options(FULLY_CONNECTED_OPTIONS);
  if (o.weightsFormat !== 0) throw unsupported(`weights format ${o.weightsFormat}`);
  const [n, k] = expectRank(c, c.in(1), 2, "weights") as [number, number];
  const x = c.shape(c.in(0));
  const total = product(x);
  if (k === 0 || total % k !== 0) throw malformed(`input [${x}] does not fit weights [${n},${k}]`);
  const rows = reshape(c, c.in(0), [total / k, k]);
  const { ins, quantised } = operands(c, rows, c.in(1), c.maybe(2));
  const y = c.emit(core.linear, ins, contraction(c, quantised, o.activation));
  const z = quantised ? y : activate(c, y, o.activation);
  return o.keepNumDims ? reshape(c, z, [...x.slice(0, -1), n]) : z;
}

function batchMatmul(c: OpContext): Value {
  const { adjX, adjY } = c.options(BATCH_MATMUL_OPTIONS);
  const { ins, quantised } = operands(c, c.in(0), c.in(1), undefined);
  const trans = { ...(adjX ? { transA: true } : {}), ...(adjY ? { transB: true } : {}) };
  return c.emit(core.matmul, ins, { ...trans, ...contraction(c, quantised, 0) });
}

type Pool = "max_pool" | "average_pool";

function pool(c: OpContext, kind: Pool): Value {
  const o = c.options(POOL_2D_OPTIONS);
  const x = expectRank(c, c.in(0), 4, "input");
  const kernel = [o.filterH, o.filterW] as const;
  const { dilation, ...at } = window(x, kernel, o.padding, [o.strideH, o.strideW]);
  const out = outQuantOf(c.type(c.in(0)));
  if (kind === "max_pool") {
    return activate(c, c.emit(core.max_pool, [c.in(0)], { ...at, kernel, dilation }), o.activation);
  }
  // Every kernel set of TensorFlow Lite rounds the mean this way.
  const fused = out === undefined ? {} : { out, arith: "tflite" as const };
  return activate(
    c,
    c.emit(core.average_pool, [c.in(0)], { ...at, kernel, ...fused }),
    o.activation,
  );
}

/** Root of the mean of squares under each window. */
function l2Pool(c: OpContext): Value {
  const o = c.options(POOL_2D_OPTIONS);
  const x = expectRank(c, c.in(0), 4, "input");
  const kernel = [o.filterH, o.filterW] as const;
  const { dilation: _, ...at } = window(x, kernel, o.padding, [o.strideH, o.strideW]);
  const squares = c.emit(core.square, [asReal(c, c.in(0))]);
  const mean = c.emit(core.average_pool, [squares], { ...at, kernel });
  return asDeclared(c, activate(c, c.emit(core.sqrt, [mean]), o.activation));
}

/** beta is folded into the input: multiplied (floats), or into its scale. */
function softmax(c: OpContext): Value {
  const { beta } = c.options(SOFTMAX_OPTIONS);
  const x = c.in(0);
  const { quant, dtype, shape } = c.type(x);
  const axis = shape.length - 1;
  if (axis < 0) throw malformed("softmax of a scalar");
  if (!(beta > 0 && Number.isFinite(beta))) throw malformed(`beta is ${beta}`);
  if (quant === undefined) {
    const scaled = beta === 1 ? x : c.emit(core.mul, [x, scalar(c, "f32", beta)], {});
    return c.emit(core.softmax, [scaled], { axis });
  }
  if (dtype === "i16") throw unsupported("16-bit quantised activations");
  const out = c.out();
  if (out === undefined) throw malformed("the input is quantised and the output is not");
  const scale = quant.scale.map((s) => Math.fround(s * beta));
  const assumed = { dtype, ...quant, scale };
  const scaled =
    beta === 1 ? x : c.emit(core.assume_quant, [c.emit(core.strip_quant, [x])], { out: assumed });
  return c.emit(core.softmax, [scaled], { axis, out, arith: c.arith });
}

function l2Normalization(c: OpContext): Value {
  const o = c.options(L2_NORM_OPTIONS);
  const x = asReal(c, c.in(0));
  const axis = c.shape(x).length - 1;
  const sum = c.emit(core.reduce_sum, [c.emit(core.square, [x])], { axes: [axis], keepDims: true });
  const norm = c.emit(core.sqrt, [c.emit(core.max, [sum, scalar(c, "f32", 1e-6)], {})]);
  return asDeclared(c, activate(c, c.emit(core.div, [x, norm], {}), o.activation));
}

function lrn(c: OpContext): Value {
  const { radius, bias, alpha, beta } = c.options(LRN_OPTIONS);
  const size = positive("window", 2 * radius + 1);
  return c.emit(core.lrn, [c.in(0)], { layout: "nhwc", size, alpha: alpha * size, beta, bias });
}

function resize(c: OpContext, mode: "linear" | "nearest"): Value {
  const o =
    mode === "linear" ? c.options(RESIZE_BILINEAR_OPTIONS) : c.options(RESIZE_NEAREST_OPTIONS);
  expectRank(c, c.in(0), 4, "input");
  const size = c.numbers(1, "size");
  if (size.length !== 2) throw malformed(`size [${size}] is not height and width`);
  size.forEach((n) => positive("size", n));
  const coordinates = o.alignCorners
    ? "align_corners"
    : o.halfPixelCenters
      ? "half_pixel"
      : "asymmetric";
  const nearest = coordinates === "asymmetric" ? "floor" : "round_prefer_ceil";
  const out = outQuantOf(c.type(c.in(0)));
  const fused = out === undefined ? {} : { out };
  const attrs = { layout: "nhwc" as const, size, mode, nearest, ...fused } as const;
  return c.emit(core.resize, [c.in(0)], { ...attrs, coordinates });
}

export const nnHandlers: Handlers = {
  CONV_2D: conv2d,
  DEPTHWISE_CONV_2D: depthwiseConv2d,
  TRANSPOSE_CONV: transposeConv,
  FULLY_CONNECTED: fullyConnected,
  BATCH_MATMUL: batchMatmul,
  AVERAGE_POOL_2D: (c) => pool(c, "average_pool"),
  MAX_POOL_2D: (c) => pool(c, "max_pool"),
  L2_POOL_2D: l2Pool,
  SOFTMAX: softmax,
  LOG_SOFTMAX: (c) => {
    const x = c.in(0);
    return c.emit(core.log_softmax, [x], { axis: c.shape(x).length - 1, ...c.outAttr() });
  },
  L2_NORMALIZATION: l2Normalization,
  LOCAL_RESPONSE_NORMALIZATION: lrn,
  RESIZE_BILINEAR: (c) => resize(c, "linear"),
  RESIZE_NEAREST_NEIGHBOR: (c) => resize(c, "nearest"),
};
