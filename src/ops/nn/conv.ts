/**
 * @file Convolution with 1 to 3 spatial axes, groups, dilation and asymmetric padding, float or
 * quantised (docs/ir.md, "Integer convolution"), with fused bias, residual and activation. Source:
 * ONNX Conv, QLinearConv; TensorFlow Lite CONV_2D, DEPTHWISE_CONV_2D.
 */

import { defineOp } from "../../graph/op.ts";
import { type AxisTies, resultPort, sameIndex } from "../../graph/ties.ts";
import type { TensorType } from "../../tensor/tensor.ts";
import { UserError } from "../../util/errors.ts";
import { checkCount, checkShape } from "./access.ts";
import { type ContractionAttrs, contractionType } from "./contraction.ts";
import { evalConv } from "./conv-eval.ts";
import { lowerConv } from "./conv-lower.ts";
import { convSamples } from "./conv-samples.ts";
import {
  axisLetters,
  channelAxis,
  checkPerAxis,
  checkSpatialRank,
  permuteWindow,
  spatialOf,
  spatialShape,
  type WindowAttrs,
  windowCount,
} from "./spatial.ts";

export interface ConvAttrs extends WindowAttrs, ContractionAttrs {
  readonly dilation: readonly number[];
  /**
   * Input and output channels are split into this many parts; each output part reads one input
   * part.
   */
  readonly groups: number;
}

function inferConv(ins: readonly TensorType[], attrs: ConvAttrs): readonly TensorType[] {
  checkCount(ins, 2, 4);
  const [x, w, bias, residual] = ins as [TensorType, TensorType, TensorType?, TensorType?];
  const { layout, groups } = attrs;
  const rank = checkSpatialRank(x);
  checkPerAxis("stride", attrs.stride, rank, 1);
  checkPerAxis("dilation", attrs.dilation, rank, 1);
  checkPerAxis("padBegin", attrs.padBegin, rank, 0);
  checkPerAxis("padEnd", attrs.padEnd, rank, 0);
  if (w.shape.length !== x.shape.length) {
    throw new UserError(
      "E_SHAPE",
      `weights must have rank ${x.shape.length}, got shape [${w.shape}]`,
    );
  }
  const channels = x.shape[channelAxis(layout, rank + 2)]!;
  const perGroup = w.shape[channelAxis(layout, rank + 2)]!;
  const outputs = w.shape[0]!;
  if (groups < 1 || perGroup * groups !== channels || outputs % groups !== 0) {
    throw new UserError(
      "E_SHAPE",
      `${channels} channels, ${layout} weights [${w.shape}] and ${groups} groups do not fit`,
    );
  }
  const kernel = spatialOf(layout, w.shape);
  const out = spatialOf(layout, x.shape).map((size, i) =>
    windowCount(
      size,
      kernel[i]!,
      attrs.stride[i]!,
      attrs.dilation[i]!,
      attrs.padBegin[i]!,
      attrs.padEnd[i]!,
    ),
  );
  const shape = spatialShape(layout, x.shape[0]!, outputs, out);
  if (bias !== undefined) checkShape("bias", bias, [outputs]);
  if (residual !== undefined) checkShape("residual", residual, shape);
  return [contractionType({ x, w, bias, residual }, attrs, shape, 0)];
}

/**
 * Spatial axes are carried only by a pointwise convolution; channels only where groups are
 * channels.
 */
function convAxes(ins: readonly TensorType[], attrs: ConvAttrs): string | null {
  const { layout, groups } = attrs;
  const [x, w] = ins as [TensorType, TensorType];
  const rank = x.shape.length - 2;
  const perGroup = w.shape[channelAxis(layout, rank + 2)]!;
  const depthwise = groups > 1 && perGroup === 1 && w.shape[0] === groups;
  if (groups > 1 && !depthwise) return null;
  const kernel = spatialOf(layout, w.shape);
  const own = "hwd".slice(0, rank);
  const moved = [...own]
    .map((letter, i) => {
      const still = kernel[i] === 1 && attrs.stride[i] === 1;
      return still && attrs.padBegin[i] === 0 && attrs.padEnd[i] === 0 ? letter : "xyz"[i];
    })
    .join("");
  const taps = "klm".slice(0, rank);
  const input = axisLetters(layout, "n", depthwise ? "o" : "i", own);
  const output = axisLetters(layout, "n", "o", moved);
  const weight = axisLetters(layout, "o", depthwise ? "q" : "i", taps);
  return `${[input, weight, "o", output].slice(0, ins.length).join(",")}->${output}`;
}

/**
 * Channels of grouped convolutions: one at the same place of every group, so that groups stay equal. Where each
 * group has one input, the input goes with its outputs.
 */
function groupTies(ins: readonly TensorType[], attrs: ConvAttrs): AxisTies | null {
  const { layout, groups } = attrs;
  if (groups === 1) return null;
  const [x, w] = ins as [TensorType, TensorType];
  const c = channelAxis(layout, x.shape.length);
  const perGroup = w.shape[c]!;
  const each = w.shape[0]! / groups;
  const single = perGroup === 1;
  const outUnit = Array.from({ length: w.shape[0]! }, (_, o) =>
    single ? Math.floor(o / each) : o % each,
  );
  const inUnit = Array.from({ length: x.shape[c]! }, (_, i) => (single ? i : i % perGroup));
  const input = { port: 0, axis: c, unit: inUnit };
  const outputs = [
    { port: 1, axis: 0, unit: outUnit },
    ...(ins.length > 2 ? [{ port: 2, axis: 0, unit: outUnit }] : []),
    ...(ins.length > 3 ? [{ port: 3, axis: c, unit: outUnit }] : []),
    { port: resultPort(0), axis: c, unit: outUnit },
  ];
  const batch = [...(ins.length > 3 ? [[3, 0] as const] : []), [0, 0] as const];
  const rows = sameIndex(x.shape[0]!, ...batch, [resultPort(0), 0]);
  if (single) return { all: [rows, [input, ...outputs]] };
  const weight = { port: 1, axis: c, unit: inUnit.slice(0, perGroup) };
  return { all: [rows, [input, weight], outputs] };
}

export const conv = defineOp<ConvAttrs>({
  name: "conv",
  parameters: [1, 2],
  quant: "integer",
  infer: inferConv,
  axes: convAxes,
  contracts: true,
  ties: groupTies,
  narrow: (attrs, { kept }) => {
    if (attrs.groups === 1) return { attrs };
    const rank = attrs.stride.length + 2;
    const c = channelAxis(attrs.layout, rank);
    const weight = kept(1, c).length;
    return { attrs: { ...attrs, groups: kept(0, c).length / weight } };
  },
  eval: evalConv,
  cost: (ins, attrs, outs) => {
    const w = ins[1]!.shape;
    const taps = w.slice(1).reduce((a, b) => a * b, 1);
    const positions = spatialOf(attrs.layout, outs[0]!.shape).reduce((a, b) => a * b, 1);
    return { macs: outs[0]!.shape[0]! * positions * w[0]! * taps };
  },
  lower: lowerConv,
  permute: (attrs, perm) =>
    permuteWindow(attrs, perm, ["stride", "padBegin", "padEnd", "dilation"]),
  fuses: { act: true, residual: true },
  samples: convSamples,
});
