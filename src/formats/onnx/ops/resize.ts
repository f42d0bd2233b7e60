/** @file ONNX Resize and Upsample: any axes, resolved to extents and scales. */
import type { Value } from "../../../graph/graph.ts";
import { elementCount, tensorOf } from "../../../tensor/tensor.ts";
import { clamp } from "../../../util/math.ts";
import {
  type Importer,
  type ImportTable,
  malformed,
  type OpContext,
  unsupported,
} from "../context.ts";
import { core } from "../core.ts";

const COORDINATES = [
  "half_pixel",
  "asymmetric",
  "align_corners",
  "pytorch_half_pixel",
  "tf_crop_and_resize",
  "half_pixel_symmetric",
] as const;
const NEAREST = ["floor", "ceil", "round_prefer_floor", "round_prefer_ceil"] as const;
const MODES = ["nearest", "linear", "cubic"] as const;

function oneOf<T extends string>(allowed: readonly T[], given: string, what: string): T {
  const found = allowed.find((x) => x === given);
  if (found === undefined) throw malformed(`${what} '${given}'`);
  return found;
}

interface Axis {
  readonly axis: number;
  readonly from: number;
  readonly to: number;
  readonly scale: number;
  /** Start and end of the region of interest, in 0..1. */
  readonly roi: readonly [number, number];
}

/** Extent and scale of every axis named by the node. */
function axesOf(c: OpContext, x: Value): readonly Axis[] {
  const dims = c.e.shape(x);
  const axes = c.axes(c.attrs.ints("axes") ?? dims.map((_, i) => i), dims.length);
  const isOld = c.opset < 11;
  const scales = isOld ? (c.attrs.floats("scales") ?? c.numbers(1)) : c.numbers(2);
  const sizes = isOld ? undefined : c.numbers(3);
  const region = isOld ? undefined : c.numbers(1);
  const roi = (i: number): readonly [number, number] =>
    region === undefined || region.length < 2 * axes.length
      ? [0, 1]
      : [region[i]!, region[i + axes.length]!];
  if (sizes !== undefined && sizes.length > 0) {
    return bySizes(c, dims, axes, sizes).map((a, i) => ({ ...a, roi: roi(i) }));
  }
  if (scales === undefined || scales.length !== axes.length)
    throw malformed("scales and sizes are missing");
  const crops = c.attrs.string("coordinate_transformation_mode", "") === "tf_crop_and_resize";
  return axes.map((axis, i) => {
    const from = dims[axis]!;
    const part = crops ? roi(i)[1] - roi(i)[0] : 1;
    const to = Math.floor(from * part * scales[i]!);
    return { axis, from, to, scale: scales[i]!, roi: roi(i) };
  });
}

function bySizes(
  c: OpContext,
  dims: readonly number[],
  axes: readonly number[],
  sizes: readonly number[],
): readonly Omit<Axis, "roi">[] {
  const policy = c.attrs.string("keep_aspect_ratio_policy", "stretch");
  const ratios = axes.map((a, i) => sizes[i]! / dims[a]!);
  if (policy === "stretch") {
    return axes.map((axis, i) => ({ axis, from: dims[axis]!, to: sizes[i]!, scale: ratios[i]! }));
  }
  const scale = policy === "not_larger" ? Math.min(...ratios) : Math.max(...ratios);
  return axes.map((axis) => {
    const from = dims[axis]!;
    return { axis, from, to: Math.floor(scale * from + 0.5), scale };
  });
}

/** Source coordinate of an output index, without regions of interest. */
function coordinate(mode: string, at: number, a: Axis): number {
  switch (mode) {
    case "align_corners":
      return a.to === 1 ? 0 : (at * (a.from - 1)) / (a.from * a.scale - 1);
    case "asymmetric":
      return at / a.scale;
    case "pytorch_half_pixel":
      return a.to === 1 ? -0.5 : (at + 0.5) / a.scale - 0.5;
    case "half_pixel_symmetric":
      return (a.from / 2) * (1 - a.to / (a.from * a.scale)) + (at + 0.5) / a.scale - 0.5;
    default:
      return (at + 0.5) / a.scale - 0.5;
  }
}

/** The interpolation kernel at distance x. */
function weight(mode: "linear" | "cubic", x: number, cubic: number): number {
  const d = Math.abs(x);
  if (mode === "linear") return Math.max(0, 1 - d);
  if (d <= 1) return ((cubic + 2) * d - (cubic + 3)) * d * d + 1;
  return d < 2 ? ((cubic * d - 5 * cubic) * d + 8 * cubic) * d - 4 * cubic : 0;
}

/** A shrinking resize with a kernel stretched over the source: one constant matrix for an axis. */
function antialiased(c: OpContext, x: Value, a: Axis, mode: "linear" | "cubic"): Value {
  const { e } = c;
  const cubic = c.attrs.float("cubic_coeff_a", -0.75);
  const transform = c.attrs.string("coordinate_transformation_mode", "half_pixel");
  const excludes = c.attrs.flag("exclude_outside", false);
  const scale = Math.min(a.scale, 1);
  const radius = mode === "linear" ? 1 : 2;
  const start = Math.floor(-radius / scale) + 1;
  const values = new Array<number>(a.from * a.to).fill(0);
  for (let t = 0; t < a.to; t++) {
    const at = coordinate(transform, t, a);
    const base = Math.ceil(at) - 1;
    const taps = Array.from({ length: 2 - 2 * start }, (_, i) => base + start + i);
    const outside = (i: number): boolean => i < 0 || i >= a.from;
    const w = taps.map((i) => (excludes && outside(i) ? 0 : weight(mode, (i - at) * scale, cubic)));
    const total = w.reduce((p, q) => p + q, 0);
    taps.forEach((i, k) => {
      values[clamp(i, 0, a.from - 1) * a.to + t]! += w[k]! / total;
    });
  }
  const m = e.constant(tensorOf(e.dtype(x), [a.from, a.to], values));
  const last = e.rank(x) - 1;
  const perm = e.shape(x).map((_, i) => (i === a.axis ? last : i === last ? a.axis : i));
  return e.transpose(e.matmul(e.transpose(x, perm), m), perm);
}

/** Resizes the last axes.length axes of [n, c, …]. */
function resizeSpatial(
  c: OpContext,
  x: Value,
  axes: readonly Axis[],
  mode: (typeof MODES)[number],
): Value {
  const { attrs } = c;
  const old = c.node.opType === "Upsample" || c.opset < 11;
  const coordinates = oneOf(
    COORDINATES,
    attrs.string("coordinate_transformation_mode", old ? "asymmetric" : "half_pixel"),
    "coordinate_transformation_mode",
  );
  const crops = coordinates === "tf_crop_and_resize";
  const nearest = attrs.string("nearest_mode", old ? "floor" : "round_prefer_floor");
  return c.e.apply(core.resize, [x], {
    layout: "nchw",
    size: axes.map((a) => a.to),
    mode,
    coordinates,
    nearest: oneOf(NEAREST, nearest, "nearest_mode"),
    cubicA: attrs.float("cubic_coeff_a", -0.75),
    excludeOutside: attrs.flag("exclude_outside", false),
    scales: axes.map((a) => a.scale),
    ...(crops ? { roi: [...axes.map((a) => a.roi[0]), ...axes.map((a) => a.roi[1])] } : {}),
    ...(crops ? { extrapolation: attrs.float("extrapolation_value", 0) } : {}),
  });
}

const resize: Importer = (c) => {
  const { e } = c;
  const x = c.in(0);
  const dims = e.shape(x);
  const mode = oneOf(MODES, c.attrs.string("mode", "nearest"), "mode");
  const crops = c.attrs.string("coordinate_transformation_mode", "") === "tf_crop_and_resize";
  const changed = axesOf(c, x).filter((a) => crops || a.from !== a.to || a.scale !== 1);
  const axes = [...changed].sort((a, b) => a.axis - b.axis);
  if (axes.length === 0) return x;
  if (c.attrs.flag("antialias", false) && mode !== "nearest") {
    return axes.reduce((v, a) => antialiased(c, v, a, mode), x);
  }
  const real = crops
    ? axes.filter((a) => a.from !== a.to || a.roi[0] !== 0 || a.roi[1] !== 1)
    : axes;
  if (real.length > 3) throw unsupported(`resizing ${real.length} axes`);
  const tail = dims.length - real.length;
  if (tail === 2 && real.every((a) => a.axis >= 2)) return resizeSpatial(c, x, real, mode);
  const rest = dims.map((_, i) => i).filter((i) => !real.some((a) => a.axis === i));
  const perm = [...rest, ...real.map((a) => a.axis)];
  const lead = rest.map((i) => dims[i]!);
  const flat = e.reshape(e.transpose(x, perm), [1, elementCount(lead), ...real.map((a) => a.from)]);
  const y = e.reshape(resizeSpatial(c, flat, real, mode), [...lead, ...real.map((a) => a.to)]);
  return e.transpose(
    y,
    perm.map((_, i) => perm.indexOf(i)),
  );
};

const GRID_MODES = {
  linear: "linear",
  bilinear: "linear",
  nearest: "nearest",
  cubic: "cubic",
  bicubic: "cubic",
} as const;
const GRID_PADDING = ["zeros", "border", "reflection"] as const;

const gridSample: Importer = (c) => {
  const mode = c.attrs.string("mode", "linear");
  if (!Object.hasOwn(GRID_MODES, mode)) throw malformed(`mode '${mode}'`);
  return c.e.apply(core.grid_sample, [c.in(0), c.in(1)], {
    layout: "nchw",
    mode: GRID_MODES[mode as keyof typeof GRID_MODES],
    padding: oneOf(GRID_PADDING, c.attrs.string("padding_mode", "zeros"), "padding_mode"),
    alignCorners: c.attrs.flag("align_corners", false),
  });
};

const roiAlign: Importer = (c) => {
  const absent = c.opset < 16 ? "output_half_pixel" : "half_pixel";
  return c.e.apply(core.roi_align, [c.in(0), c.in(1), c.in(2)], {
    mode: oneOf(["avg", "max"] as const, c.attrs.string("mode", "avg"), "mode"),
    coordinates: oneOf(
      ["half_pixel", "output_half_pixel"] as const,
      c.attrs.string("coordinate_transformation_mode", absent),
      "coordinate_transformation_mode",
    ),
    height: c.attrs.int("output_height", 1),
    width: c.attrs.int("output_width", 1),
    samplingRatio: c.attrs.int("sampling_ratio", 0),
    spatialScale: c.attrs.float("spatial_scale", 1),
  });
};

/** How many boxes are selected depends on the data: boxes and scores have to be constant. */
const nonMaxSuppression: Importer = (c) => {
  const { e } = c;
  c.tensor(0);
  c.tensor(1);
  const [, boxes] = e.shape(c.in(0));
  const [batch, classes] = e.shape(c.in(1));
  const perClass = Math.min(c.number(2, 0), boxes!);
  const results = e.applyAll(core.non_max_suppression, [c.in(0), c.in(1)], {
    maxOutput: perClass * batch! * classes!,
    maxPerClass: perClass,
    iouThreshold: c.number(3, 0),
    scoreThreshold: c.number(4, Number.NEGATIVE_INFINITY),
    centerPointBox: c.attrs.flag("center_point_box", false),
  });
  const count = Number(e.known(results[1]!)?.data[0] ?? 0);
  return e.sliceAxis(results[0]!, 0, 0, count);
};

export const resizeImports: ImportTable = {
  Resize: resize,
  Upsample: resize,
  GridSample: gridSample,
  RoiAlign: roiAlign,
  NonMaxSuppression: nonMaxSuppression,
};
