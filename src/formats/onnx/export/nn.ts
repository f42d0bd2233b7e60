/** @file Neural-network core operators as ONNX nodes: channels first, fused parts spelled out. */
import type { LinearAttrs } from "../../../ops/nn/linear.ts";
import type { DType } from "../../../tensor/dtype.ts";
import { elementCount } from "../../../tensor/tensor.ts";
import {
  channelsFirst,
  channelsLast,
  dequantized,
  type ExportContext,
  type ExportEntry,
  quantized,
} from "./context.ts";
import { activate, type ExportTable } from "./elementwise.ts";
import { type AttributeMap, float, int, ints, text } from "./writer.ts";

interface WindowLike {
  readonly stride: readonly number[];
  readonly padBegin: readonly number[];
  readonly padEnd: readonly number[];
  readonly dilation?: readonly number[];
}

const windowAttributes = (a: WindowLike): AttributeMap => ({
  strides: ints(a.stride),
  pads: ints([...a.padBegin, ...a.padEnd]),
  ...(a.dilation === undefined ? {} : { dilations: ints(a.dilation) }),
});

const realType = (x: ExportContext): DType =>
  x.type(0).quant === undefined ? x.type(0).dtype : "f32";

/** Bias i as reals; integers without parameters have the scale of the product. */
function bias(x: ExportContext, i: number): readonly string[] {
  if (x.count <= i) return [];
  const { dtype, quant } = x.type(i);
  const sx = x.type(0).quant?.scale[0];
  const w = x.type(1).quant;
  if (quant !== undefined || dtype !== "i32" || sx === undefined || w === undefined)
    return [x.real(i)];
  const scale = w.scale.map((s) => Math.fround(s * sx));
  const perAxis = scale.length > 1;
  const parameter = perAxis
    ? x.w.initializer({
        type: { dtype: "f32", shape: [scale.length] },
        data: Float32Array.from(scale),
      })
    : x.w.scalar("f32", scale[0]!);
  return [x.w.emit("DequantizeLinear", [x.raw(i), parameter], perAxis ? { axis: int(0) } : {})];
}

const conv: NonNullable<ExportTable["conv"]> = {
  integers: true,
  run: (x) => {
    const { attrs } = x;
    const rank = x.rank(0);
    const w = attrs.layout === "nchw" ? x.real(1) : x.permuted(1, channelsFirst(rank));
    const input = x.first(0, attrs.layout);
    let y = x.w.emit("Conv", [input, w, ...bias(x, 2)], {
      ...windowAttributes(attrs),
      group: int(attrs.groups),
    });
    if (x.count > 3) y = x.w.emit("Add", [y, x.first(3, attrs.layout)]);
    y = activate(x.w, y, attrs.act, realType(x), x.node.name);
    return x.result(y, attrs.layout);
  },
};

const convTranspose: NonNullable<ExportTable["conv_transpose"]> = {
  integers: true,
  run: (x) => {
    const { attrs } = x;
    const rank = x.rank(0);
    const w = attrs.layout === "nchw" ? x.real(1) : x.permuted(1, channelsFirst(rank));
    const ins = [x.first(0, attrs.layout), w, ...bias(x, 2)];
    const y = x.w.emit("ConvTranspose", ins, {
      ...windowAttributes(attrs),
      group: int(attrs.groups),
      output_padding: ints(attrs.outputPad),
    });
    return x.result(activate(x.w, y, attrs.act, realType(x), x.node.name), attrs.layout);
  },
};

/** Rows of quantised values: moved into rows as integers, so that runtimes see the layer between its scales. */
function quantizedRows(x: ExportContext<LinearAttrs>): string {
  const { dtype, shape, quant } = x.type(0);
  const k = shape.at(-1)!;
  const rows = x.reshape(x.raw(0), [elementCount(shape) / k, k]);
  const real = dequantized(x.w, rows, { dtype, ...quant! });
  const y = x.w.emit("Gemm", [real, x.real(1), ...bias(x, 2)], { transB: int(true) });
  const active = activate(x.w, y, x.attrs.act, realType(x), x.node.name);
  const out = x.outType();
  if (out.quant === undefined) return x.reshape(active, out.shape);
  return x.reshape(quantized(x.w, active, { dtype: out.dtype, ...out.quant }), out.shape);
}

const linear: NonNullable<ExportTable["linear"]> = {
  integers: true,
  run: (x) => {
    if (x.rank(0) !== 2 && x.type(0).quant !== undefined) return quantizedRows(x);
    let y: string;
    if (x.rank(0) === 2) {
      y = x.w.emit("Gemm", [x.real(0), x.real(1), ...bias(x, 2)], { transB: int(true) });
    } else {
      y = x.w.emit("MatMul", [x.real(0), x.permuted(1, [1, 0])]);
      for (const b of bias(x, 2)) y = x.w.emit("Add", [y, b]);
    }
    return x.result(activate(x.w, y, x.attrs.act, realType(x), x.node.name), "nchw");
  },
};

const matmul: NonNullable<ExportTable["matmul"]> = {
  run: (x) => {
    const operand = (i: number, swapped: boolean | undefined): string => {
      const perm = x.type(i).shape.map((_, k) => k);
      if (!swapped) return x.real(i);
      return x.permuted(i, [...perm.slice(0, -2), perm.at(-1)!, perm.at(-2)!]);
    };
    return x.w.emit("MatMul", [operand(0, x.attrs.transA), operand(1, x.attrs.transB)]);
  },
};

const poolAttributes = (
  a: WindowLike & { readonly kernel: readonly number[]; readonly ceil?: boolean },
): AttributeMap => ({
  ...windowAttributes(a),
  kernel_shape: ints(a.kernel),
  ...(a.ceil ? { ceil_mode: int(true) } : {}),
});

/** A node on the reals whose operand 0 and result are images. */
const image = <A extends { readonly layout: string }>(
  opType: string,
  attributes: (a: A) => AttributeMap,
): ExportEntry<A> => ({
  integers: true,
  run: (x) => {
    const rest = x.node.ins.slice(1).map((_, i) => x.real(i + 1));
    const input = x.first(0, x.attrs.layout);
    return x.result(x.w.emit(opType, [input, ...rest], attributes(x.attrs)), x.attrs.layout);
  },
});

const maxPool: NonNullable<ExportTable["max_pool"]> = {
  integers: true,
  run: (x) => {
    const y = x.w.emit("MaxPool", [x.rawFirst(0, x.attrs.layout)], poolAttributes(x.attrs));
    return x.attrs.layout === "nchw" ? y : x.transpose(y, channelsLast(x.rank(0)));
  },
};

/** Gain and shift are always operands of ONNX's layer normalisation. */
const layerNorm: NonNullable<ExportTable["layer_norm"]> = {
  run: (x) => {
    const { axis, epsilon } = x.attrs;
    const shape = x.type(0).shape.slice(axis);
    const gain = x.count > 1 ? x.real(1) : x.w.emit("Expand", [x.scalar(1), x.w.vector(shape)]);
    const ins = [x.real(0), gain, ...(x.count > 2 ? [x.real(2)] : [])];
    return x.w.emit("LayerNormalization", ins, { axis: int(axis), epsilon: float(epsilon) });
  },
};

const rmsNorm: NonNullable<ExportTable["rms_norm"]> = {
  run: (x) => {
    const { axis, epsilon } = x.attrs;
    const axes = x.type(0).shape.flatMap((_, i) => (i >= axis ? [i] : []));
    const v = x.real(0);
    const square = x.w.emit("ReduceMean", [x.w.emit("Mul", [v, v]), x.w.vector(axes)]);
    const root = x.w.emit("Sqrt", [x.w.emit("Add", [square, x.scalar(epsilon)])]);
    const y = x.w.emit("Div", [v, root]);
    return x.count > 1 ? x.w.emit("Mul", [y, x.real(1)]) : y;
  },
};

const resize: NonNullable<ExportTable["resize"]> = {
  integers: true,
  run: (x) => {
    const { attrs } = x;
    const rank = x.rank(0);
    const n = attrs.size.length;
    const input = x.first(0, attrs.layout);
    const axes = attrs.size.map((_, i) => i + rank - n);
    const roi =
      attrs.roi === undefined
        ? ""
        : x.w.initializer({
            type: { dtype: "f32", shape: [attrs.roi.length] },
            data: Float32Array.from(attrs.roi),
          });
    const y = x.w.emit(
      "Resize",
      [input, roi, ...extents(x, attrs.size, attrs.roi ? undefined : attrs.scales)],
      {
        axes: ints(axes),
        mode: text(attrs.mode),
        coordinate_transformation_mode: text(attrs.coordinates),
        nearest_mode: text(attrs.nearest),
        cubic_coeff_a: float(attrs.cubicA ?? -0.75),
        exclude_outside: int(attrs.excludeOutside ?? false),
        extrapolation_value: float(attrs.extrapolation ?? 0),
      },
    );
    return x.result(y, attrs.layout);
  },
};

/** Operands scales and sizes: scales where they give these extents, else sizes. */
function extents(
  x: ExportContext<{ readonly layout: string }>,
  size: readonly number[],
  scales: readonly number[] | undefined,
): readonly string[] {
  const shape = x.type(0).shape;
  const from = x.attrs.layout === "nchw" ? shape.slice(2) : shape.slice(1, -1);
  const fits = scales?.every((s, i) => Math.floor(from[i]! * s) === size[i]);
  if (scales === undefined || fits !== true) return ["", x.w.vector(size)];
  const data = Float32Array.from(scales);
  return [x.w.initializer({ type: { dtype: "f32", shape: [data.length] }, data })];
}

/** ONNX's indices count the elements of the channels-first tensor, as the operator's do. */
const maxPoolIndices: NonNullable<ExportTable["max_pool_indices"]> = {
  integers: true,
  run: (x) => {
    const { layout, storageOrder } = x.attrs;
    const attributes = { ...poolAttributes(x.attrs), storage_order: int(storageOrder) };
    const results = x.w.emitAll("MaxPool", [x.first(0, layout)], attributes, 2);
    return results.map((name, i) => x.result(name, layout, i));
  },
};

const gridSample: NonNullable<ExportTable["grid_sample"]> = image("GridSample", (a) => ({
  mode: text(a.mode),
  padding_mode: text(a.padding),
  align_corners: int(a.alignCorners),
}));

const roiAlign: NonNullable<ExportTable["roi_align"]> = {
  run: (x) => {
    const { attrs } = x;
    const batch = x.w.emit("Cast", [x.real(2)], { to: int(7) });
    return x.w.emit("RoiAlign", [x.real(0), x.real(1), batch], {
      mode: text(attrs.mode),
      coordinate_transformation_mode: text(attrs.coordinates),
      output_height: int(attrs.height),
      output_width: int(attrs.width),
      sampling_ratio: int(attrs.samplingRatio),
      spatial_scale: float(attrs.spatialScale),
    });
  },
};

export const nnExports: ExportTable = {
  conv,
  conv_transpose: convTranspose,
  linear,
  matmul,
  max_pool: maxPool,
  average_pool: image("AveragePool", (a) => ({
    ...poolAttributes(a),
    ...(a.countIncludePad ? { count_include_pad: int(true) } : {}),
  })),
  batch_norm: image("BatchNormalization", (a) => ({ epsilon: float(a.epsilon) })),
  instance_norm: image("InstanceNormalization", (a) => ({ epsilon: float(a.epsilon) })),
  lrn: image("LRN", (a) => ({
    size: int(a.size),
    alpha: float(a.alpha),
    beta: float(a.beta),
    bias: float(a.bias),
  })),
  lp_pool: image("LpPool", (a) => ({ ...poolAttributes(a), p: int(a.p) })),
  max_pool_indices: maxPoolIndices,
  grid_sample: gridSample,
  roi_align: roiAlign,
  layer_norm: layerNorm,
  rms_norm: rmsNorm,
  resize,
};
