/** @file Test cases of resize: modes, coordinate maps, ranks, layouts and types. */
import type { Sample } from "../../graph/op.ts";
import type { ResizeAttrs } from "./resize-attrs.ts";
import { f32t, outQuant, quantised, typed } from "./samples.ts";

const nearest: ResizeAttrs = {
  layout: "nchw",
  size: [7, 5],
  mode: "nearest",
  coordinates: "half_pixel",
  nearest: "round_prefer_floor",
};
const linear: ResizeAttrs = { ...nearest, mode: "linear" };
const cubic: ResizeAttrs = { ...nearest, mode: "cubic" };

export const resizeSamples: readonly Sample<ResizeAttrs>[] = [
  { ins: [f32t(1, 2, 4, 6)], attrs: nearest },
  {
    ins: [f32t(1, 4, 6, 3)],
    attrs: { ...nearest, layout: "nhwc", coordinates: "asymmetric", nearest: "floor" },
  },
  {
    ins: [f32t(1, 2, 3, 3)],
    attrs: { ...nearest, size: [6, 6], coordinates: "align_corners", nearest: "round_prefer_ceil" },
  },
  { ins: [typed("u8", 1, 2, 3, 3)], attrs: { ...nearest, size: [6, 2], nearest: "ceil" } },
  { ins: [typed("i64", 1, 2, 3, 3)], attrs: { ...nearest, size: [3, 6] } },
  { ins: [f32t(1, 2, 4, 6)], attrs: linear },
  { ins: [f32t(2, 4, 6, 3)], attrs: { ...linear, layout: "nhwc", coordinates: "align_corners" } },
  {
    ins: [f32t(1, 1, 4, 4)],
    attrs: {
      ...linear,
      coordinates: "tf_crop_and_resize",
      roi: [0.4, -0.2, 0.6, 1.3],
      extrapolation: 10,
      size: [3, 4],
    },
  },
  {
    ins: [f32t(1, 1, 4, 5)],
    attrs: {
      ...linear,
      coordinates: "half_pixel_symmetric",
      scales: [0.6, 0.7],
      size: [2, 3],
    },
  },
  {
    ins: [f32t(1, 2, 3, 4, 2)],
    attrs: { ...linear, size: [5, 4, 1], coordinates: "pytorch_half_pixel" },
  },
  { ins: [f32t(1, 2, 4, 6)], attrs: { ...cubic, excludeOutside: true, cubicA: -0.5 } },
  { ins: [f32t(1, 3, 6, 2)], attrs: { ...cubic, layout: "nhwc", coordinates: "asymmetric" } },
  { ins: [f32t(1, 2, 5)], attrs: { ...cubic, size: [9], scales: [1.8] } },
  ...(["f64", "f16", "bf16"] as const).map((dtype) => ({
    ins: [typed(dtype, 1, 2, 4, 6)],
    attrs: linear,
  })),
  {
    ins: [quantised("i8", [1, 3, 4, 2], 0.05, 3)],
    attrs: { ...linear, layout: "nhwc", out: outQuant("i8", 0.05, 3) },
  },
];
