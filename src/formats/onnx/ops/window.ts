/** @file ONNX convolutions and pools: windows sliding over spatial axes, always in layout nchw. */
import type { Value } from "../../../graph/graph.ts";
import { elementCount } from "../../../tensor/tensor.ts";
import {
  type Importer,
  type ImportTable,
  malformed,
  type OpContext,
  unsupported,
} from "../context.ts";
import { core } from "../core.ts";

/** Geometry of a sliding window, one entry per spatial axis. */
export interface Window {
  readonly kernel: readonly number[];
  readonly stride: readonly number[];
  readonly dilation: readonly number[];
  readonly padBegin: readonly number[];
  readonly padEnd: readonly number[];
}

/** Kernel extents: the attribute, or those of the weights. */
export function kernelOf(c: OpContext, weight: readonly number[] | null): readonly number[] {
  const kernel = c.attrs.ints("kernel_shape") ?? weight;
  if (kernel === null || kernel.length === 0) throw malformed("kernel_shape is missing");
  return kernel;
}

/** Reads strides, dilations and padding; `auto_pad` is resolved for the spatial extents. */
export function windowOf(
  c: OpContext,
  spatial: readonly number[],
  kernel: readonly number[],
): Window {
  const n = spatial.length;
  const stride = c.attrs.ints("strides") ?? kernel.map(() => 1);
  const dilation = c.attrs.ints("dilations") ?? kernel.map(() => 1);
  const pads = c.attrs.ints("pads") ?? new Array<number>(2 * n).fill(0);
  const mode = c.attrs.string("auto_pad", "NOTSET");
  if (
    kernel.length !== n ||
    stride.length !== n ||
    dilation.length !== n ||
    pads.length !== 2 * n
  ) {
    throw malformed(`the window has ${kernel.length} axes, the operand ${n} spatial ones`);
  }
  if (mode === "NOTSET") {
    return { kernel, stride, dilation, padBegin: pads.slice(0, n), padEnd: pads.slice(n) };
  }
  const total = spatial.map((size, i) => {
    if (mode === "VALID") return 0;
    const reach = (kernel[i]! - 1) * dilation[i]! + 1;
    return Math.max(0, (Math.ceil(size / stride[i]!) - 1) * stride[i]! + reach - size);
  });
  const small = total.map((t) => Math.floor(t / 2));
  const large = total.map((t) => Math.ceil(t / 2));
  const upper = mode !== "SAME_LOWER";
  return {
    kernel,
    stride,
    dilation,
    padBegin: upper ? small : large,
    padEnd: upper ? large : small,
  };
}

/** Attributes of a core convolution from those of an ONNX one. */
export function convAttrs(c: OpContext, x: Value, w: Value) {
  const weights = c.e.shape(w).slice(2);
  const { kernel, ...window } = windowOf(c, c.e.shape(x).slice(2), kernelOf(c, weights));
  if (kernel.some((k, i) => weights[i] !== k)) {
    throw malformed(`kernel_shape [${kernel}] differs from that of the weights, [${weights}]`);
  }
  return { layout: "nchw" as const, groups: c.attrs.int("group", 1), ...window };
}

const conv: Importer = (c) => {
  const x = c.in(0);
  const w = c.in(1);
  const bias = c.optional(2);
  return c.e.apply(core.conv, bias === undefined ? [x, w] : [x, w, bias], convAttrs(c, x, w));
};

/** Padding of a transposed convolution: explicit, or what gives the wanted output extents. */
function transposedPadding(
  c: OpContext,
  window: Window,
  spatial: readonly number[],
  outputPad: readonly number[],
): { padBegin: number[]; padEnd: number[]; outputPad: number[] } {
  const mode = c.attrs.string("auto_pad", "NOTSET");
  const same = mode === "SAME_UPPER" || mode === "SAME_LOWER";
  const wanted =
    c.attrs.ints("output_shape") ??
    (same ? spatial.map((n, i) => n * window.stride[i]!) : undefined);
  if (wanted === undefined) {
    return {
      padBegin: [...window.padBegin],
      padEnd: [...window.padEnd],
      outputPad: [...outputPad],
    };
  }
  const shape = wanted.slice(-spatial.length);
  const total = spatial.map((n, i) => {
    const reach = (window.kernel[i]! - 1) * window.dilation[i]! + 1;
    return window.stride[i]! * (n - 1) + outputPad[i]! + reach - shape[i]!;
  });
  const half = total.map((t) => Math.floor(Math.max(t, 0) / 2));
  const rest = total.map((t, i) => Math.max(t, 0) - half[i]!);
  const upper = mode === "SAME_UPPER";
  return {
    padBegin: upper ? half : rest,
    padEnd: upper ? rest : half,
    outputPad: outputPad.map((p, i) => p + Math.max(0, -total[i]!)),
  };
}

const convTranspose: Importer = (c) => {
  const x = c.in(0);
  const w = c.in(1);
  const spatial = c.e.shape(x).slice(2);
  const window = windowOf(c, spatial, kernelOf(c, c.e.shape(w).slice(2)));
  const outputPad = c.attrs.ints("output_padding") ?? spatial.map(() => 0);
  const bias = c.optional(2);
  return c.e.apply(core.conv_transpose, bias === undefined ? [x, w] : [x, w, bias], {
    layout: "nchw",
    groups: c.attrs.int("group", 1),
    stride: window.stride,
    dilation: window.dilation,
    ...transposedPadding(c, window, spatial, outputPad),
  });
};

/** The attribute `ceil` when the node rounds its output extents up. */
const ceilMode = (c: OpContext): { readonly ceil?: true } =>
  c.attrs.flag("ceil_mode", false) && c.attrs.string("auto_pad", "NOTSET") === "NOTSET"
    ? { ceil: true }
    : {};

const maxPool: Importer = (c) => {
  const x = c.moving(0);
  const window = windowOf(c, c.e.shape(x).slice(2), kernelOf(c, null));
  const attrs = { layout: "nchw" as const, ...window, ...ceilMode(c) };
  if (!c.wants(1)) return c.e.apply(core.max_pool, [x], attrs);
  const storageOrder = c.attrs.int("storage_order", 0) === 1 ? 1 : 0;
  return c.e.applyAll(core.max_pool_indices, [c.in(0)], { ...attrs, storageOrder });
};

/** Attributes of a core average pool from those of an ONNX one. */
export function poolAttrs(c: OpContext, x: Value) {
  const window = windowOf(c, c.e.shape(x).slice(2), kernelOf(c, null));
  const count = c.attrs.flag("count_include_pad", false) ? { countIncludePad: true } : {};
  return { layout: "nchw" as const, ...window, ...ceilMode(c), ...count };
}

const averagePool: Importer = (c) => {
  const x = c.in(0);
  return c.e.apply(core.average_pool, [x], poolAttrs(c, x));
};

const lpPool: Importer = (c) => {
  const x = c.in(0);
  const window = windowOf(c, c.e.shape(x).slice(2), kernelOf(c, null));
  return c.e.apply(core.lp_pool, [x], {
    layout: "nchw",
    ...window,
    ...ceilMode(c),
    p: c.attrs.int("p", 2),
  });
};

const spatialAxes = (c: OpContext): number[] =>
  c.e.shape(c.in(0)).flatMap((_, i) => (i < 2 ? [] : [i]));

const globalMax: Importer = (c) => c.e.reduce(core.reduce_max, c.in(0), spatialAxes(c), true);
const globalAverage: Importer = (c) => c.e.mean(c.in(0), spatialAxes(c), true);

const globalLp: Importer = (c) => {
  const p = c.attrs.int("p", 2);
  if (p !== 1 && p !== 2) throw unsupported(`GlobalLpPool with p = ${p}`);
  const op = p === 1 ? core.reduce_l1 : core.reduce_l2;
  return c.e.reduce(op, c.in(0), spatialAxes(c), true);
};

/** Puts values where their indices into the output say; the rest is 0. */
const maxUnpool: Importer = (c) => {
  const { e } = c;
  const x = c.in(0);
  const dims = e.shape(x);
  const window = windowOf(c, dims.slice(2), kernelOf(c, null));
  const natural = dims.map((n, i) => {
    if (i < 2) return n;
    const k = i - 2;
    const padding = window.padBegin[k]! + window.padEnd[k]!;
    return (n - 1) * window.stride[k]! + window.kernel[k]! - padding;
  });
  const shape = c.numbers(2) ?? natural;
  const zeros = e.expand(e.scalar(e.dtype(x), 0), [elementCount(shape)]);
  const n = elementCount(dims);
  const at = remapped(c, dims, natural, shape);
  const flat = e.apply(core.scatter_elements, [zeros, e.reshape(at, [n]), e.reshape(x, [n])], {
    axis: 0,
    reduction: "none",
  });
  return e.reshape(flat, shape);
};

/** Flat indices into `natural` as flat indices into a larger output `shape`. */
function remapped(
  c: OpContext,
  dims: readonly number[],
  natural: readonly number[],
  shape: readonly number[],
): Value {
  const { e } = c;
  const indices = c.in(1);
  if (natural.every((n, i) => n === shape[i])) return indices;
  let rest = indices;
  let flat = e.expand(e.scalar("i64", 0), dims);
  for (let i = 0; i < natural.length; i++) {
    const inner = e.scalar("i64", elementCount(natural.slice(i + 1)));
    flat = e.add(
      flat,
      e.mul(e.div(rest, inner), e.scalar("i64", elementCount(shape.slice(i + 1)))),
    );
    rest = e.apply(core.mod, [rest, inner], { fmod: false });
  }
  return flat;
}

export const windowImports: ImportTable = {
  Conv: conv,
  ConvTranspose: convTranspose,
  MaxPool: maxPool,
  AveragePool: averagePool,
  LpPool: lpPool,
  GlobalMaxPool: globalMax,
  GlobalAveragePool: globalAverage,
  GlobalLpPool: globalLp,
  MaxUnpool: maxUnpool,
};
