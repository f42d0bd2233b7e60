/** @file Test cases of convolution: ranks, layouts, groups, padding, types and arithmetics. */
import type { Sample } from "../../graph/op.ts";
import type { ConvAttrs } from "./conv.ts";
import { f32t, outQuant, perChannel, quantised, typed } from "./samples.ts";

const plain: ConvAttrs = {
  layout: "nchw",
  stride: [1, 1],
  padBegin: [0, 0],
  padEnd: [0, 0],
  dilation: [1, 1],
  groups: 1,
};
const same: ConvAttrs = { ...plain, padBegin: [1, 1], padEnd: [1, 1] };
const nhwc = (attrs: ConvAttrs): ConvAttrs => ({ ...attrs, layout: "nhwc" });
const relu6 = { fn: "clip", min: 0, max: 6 };
const line: ConvAttrs = {
  layout: "nchw",
  stride: [2],
  padBegin: [2],
  padEnd: [1],
  dilation: [2],
  groups: 1,
};

const float: readonly Sample<ConvAttrs>[] = [
  { ins: [f32t(2, 3, 5, 6), f32t(4, 3, 3, 2), f32t(4)], attrs: plain },
  { ins: [f32t(1, 6, 5, 3), f32t(8, 2, 1, 3), f32t(8)], attrs: nhwc({ ...plain, stride: [2, 1] }) },
  {
    ins: [f32t(1, 4, 7, 5), f32t(6, 2, 3, 3), f32t(6)],
    attrs: {
      ...plain,
      groups: 2,
      stride: [2, 2],
      padBegin: [2, 1],
      padEnd: [0, 3],
      dilation: [2, 1],
      act: { fn: "relu" },
    },
  },
  {
    ins: [f32t(1, 5, 5, 3), f32t(3, 3, 3, 1), f32t(3), f32t(1, 5, 5, 3)],
    attrs: nhwc({ ...same, groups: 3, act: relu6 }),
  },
  { ins: [f32t(1, 2, 9), f32t(3, 2, 3)], attrs: line },
  {
    ins: [f32t(1, 3, 4, 3, 2), f32t(4, 2, 2, 2, 2)],
    attrs: {
      layout: "nhwc",
      stride: [1, 2, 1],
      padBegin: [1, 0, 0],
      padEnd: [0, 1, 1],
      dilation: [1, 1, 1],
      groups: 1,
    },
  },
  { ins: [typed("f64", 1, 2, 4, 4), typed("f64", 2, 2, 3, 3), typed("f64", 2)], attrs: same },
  {
    ins: [typed("f16", 1, 2, 4, 4), typed("f16", 2, 2, 3, 3), typed("f16", 2)],
    attrs: { ...same, act: { fn: "hard_swish" } },
  },
  { ins: [typed("bf16", 1, 4, 4, 2), typed("bf16", 3, 1, 1, 2)], attrs: nhwc(plain) },
];

const x = quantised("i8", [1, 5, 5, 4], 0.05, -3);
const out = outQuant("i8", 0.3, 5);
const integer: readonly Sample<ConvAttrs>[] = [
  {
    ins: [x, perChannel("i8", [6, 3, 3, 4], 0, 0.01), typed("i32", 6)],
    attrs: nhwc({ ...same, out }),
  },
  {
    ins: [x, perChannel("i8", [6, 3, 3, 4], 0, 0.01), typed("i32", 6)],
    attrs: nhwc({ ...same, out, arith: "tflite", act: relu6 }),
  },
  {
    ins: [x, perChannel("i8", [4, 3, 3, 1], 0, 0.02)],
    attrs: nhwc({ ...same, groups: 4, stride: [2, 2], out, arith: "tflite" }),
  },
  {
    ins: [
      quantised("u8", [1, 3, 4, 6], 0.04, 120),
      quantised("u8", [2, 3, 2, 2], 0.02, 131),
      typed("i32", 2),
    ],
    attrs: { ...plain, padBegin: [0, 1], out: outQuant("u8", 0.2, 99), act: { fn: "relu" } },
  },
  {
    ins: [quantised("u8", [1, 4, 7], 0.04, 120), quantised("i8", [2, 4, 3], 0.02, 0)],
    attrs: { ...line, out: outQuant("i8", 0.1, -20), arith: "tflite" },
  },
];

export const convSamples: readonly Sample<ConvAttrs>[] = [
  ...float,
  ...integer.map((s) => ({ ...s, tolerance: 0 })),
];
