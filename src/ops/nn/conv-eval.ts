/** @file Convolution by the naive loops, in double precision. */
import { numberWriter, type Tensor, type TensorType, zeros } from "../../tensor/tensor.ts";
import { centred, finisher } from "./contraction.ts";
import type { ConvAttrs } from "./conv.ts";
import { gridOf, spatialOf, windowOf } from "./spatial.ts";
import { forEachPosition, tapRange } from "./window.ts";

export function evalConv(
  ins: readonly Tensor[],
  attrs: ConvAttrs,
  outs: readonly TensorType[],
): readonly Tensor[] {
  const [x, w, bias, residual] = ins as [Tensor, Tensor, Tensor?, Tensor?];
  const { layout, groups } = attrs;
  const out = zeros(outs[0]!);
  const write = numberWriter(out);
  const finish = finisher({ x, w, bias, residual }, attrs, outs[0]!);
  const gx = gridOf(layout, x.type.shape);
  const gw = gridOf(layout, w.type.shape);
  const gy = gridOf(layout, outs[0]!.shape);
  const window = windowOf(spatialOf(layout, w.type.shape), attrs, attrs.dilation);
  const xs = centred(x);
  const ws = centred(w);
  const inputs = gw.channels;
  const perGroup = gy.channels / groups;
  const [sd, sh, sw] = window.stride;
  const [dd, dh, dw] = window.dilation;
  const sum = (xBase: number, wBase: number, d: number, h: number, v: number): number => {
    const [d0, d1] = tapRange(window, 0, gx.size[0], d);
    const [h0, h1] = tapRange(window, 1, gx.size[1], h);
    const [w0, w1] = tapRange(window, 2, gx.size[2], v);
    let acc = 0;
    for (let i = 0; i < inputs; i++) {
      for (let a = d0; a < d1; a++) {
        const xd = xBase + i * gx.channelStride + (d * sd - window.pad[0] + a * dd) * gx.stride[0];
        const wd = wBase + i * gw.channelStride + a * gw.stride[0];
        for (let b = h0; b < h1; b++) {
          const xh = xd + (h * sh - window.pad[1] + b * dh) * gx.stride[1];
          const wh = wd + b * gw.stride[1];
          for (let c = w0; c < w1; c++) {
            const xAt = xh + (v * sw - window.pad[2] + c * dw) * gx.stride[2];
            acc += xs[xAt]! * ws[wh + c * gw.stride[2]]!;
          }
        }
      }
    }
    return acc;
  };
  for (let n = 0; n < gy.batch; n++) {
    for (let o = 0; o < gy.channels; o++) {
      const group = Math.floor(o / perGroup);
      const xBase = n * gx.batchStride + group * inputs * gx.channelStride;
      forEachPosition(gy.size, (d, h, v) => {
        const at =
          n * gy.batchStride +
          o * gy.channelStride +
          d * gy.stride[0] +
          h * gy.stride[1] +
          v * gy.stride[2];
        write(at, finish(sum(xBase, o * gw.batchStride, d, h, v), o, at));
      });
    }
  }
  return [out];
}
