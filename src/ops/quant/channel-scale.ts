/** @file The scale of symmetric quantisation over the full range: the largest magnitude of each channel in steps. */
import { defineOp } from "../../graph/op.ts";
import { scalarOf, tensorType } from "../../tensor/tensor.ts";
import { abs } from "../elementwise/abs.ts";
import { div } from "../elementwise/div.ts";
import { expectOperands } from "../elementwise/factory.ts";
import { max } from "../elementwise/max.ts";
import { reduceMax } from "../reduce/reductions.ts";
import { expectAxis, refuse } from "../shape/check.ts";
import { MIN_SCALE } from "./quant-params.ts";

export interface ChannelScaleAttrs {
  readonly axis: number;
  /** The integer that the largest magnitude becomes. */
  readonly steps: number;
}

export const channelScale = defineOp<ChannelScaleAttrs>({
  name: "channel_scale",
  quant: "none",
  infer(ins, { axis, steps }) {
    const dtype = expectOperands(ins, 1, ["f32", "f64"]);
    expectAxis(axis, ins[0]!.shape.length);
    if (!(Number.isInteger(steps) && steps > 0)) {
      refuse("E_MODEL", `steps is ${steps}, expected a positive whole number`);
    }
    return [tensorType(dtype, [ins[0]!.shape[axis]!])];
  },
  decompose(g, [w], { axis, steps }) {
    const { dtype, shape } = g.typeOf(w!);
    const axes = shape.flatMap((_, i) => (i === axis ? [] : [i]));
    const top = g.apply(reduceMax, [g.apply(abs, [w!])], { axes, keepDims: false });
    const scale = g.apply(div, [top, g.constant(scalarOf(dtype, steps))]);
    return [g.apply(max, [scale, g.constant(scalarOf(dtype, MIN_SCALE))])];
  },
  samples: [
    { ins: [tensorType("f32", [3, 2, 5])], attrs: { axis: 0, steps: 127 } },
    { ins: [tensorType("f32", [4, 3])], attrs: { axis: 1, steps: 7 } },
  ],
});
