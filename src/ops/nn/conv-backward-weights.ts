/**
 * @file The gradient of a convolution with respect to its weights: each weight is the sum over images and
 * output positions of what it multiplied times the cotangent there. Attributes are the convolution's, and the
 * spatial size of its kernel.
 */
import { defineOp, type Sample } from "../../graph/op.ts";
import { affine, and, constant, div, fma, ge, KernelBuilder, lt } from "../../kernel/build.ts";
import type { Expr, Kernel } from "../../kernel/ir.ts";
import {
  numberWriter,
  type Tensor,
  type TensorType,
  tensorType,
  zeros,
} from "../../tensor/tensor.ts";
import { UserError } from "../../util/errors.ts";
import {
  checkCount,
  checkFloat,
  checkSameDType,
  declarePorts,
  numbersOf,
  realTypeOf,
} from "./access.ts";
import { f32t, typed } from "./samples.ts";
import {
  channelAxis,
  checkPerAxis,
  checkSpatialRank,
  type Grid,
  gridOf,
  permuteWindow,
  spatialOf,
  spatialShape,
  type Window,
  type WindowAttrs,
  windowCount,
  windowOf,
} from "./spatial.ts";
import { forEachPosition, forEachTap } from "./window.ts";

export interface ConvBackwardWeightsAttrs extends WindowAttrs {
  readonly dilation: readonly number[];
  readonly groups: number;
  /** Spatial size of the weights. */
  readonly kernel: readonly number[];
}

function inferBackward(
  ins: readonly TensorType[],
  attrs: ConvBackwardWeightsAttrs,
): readonly TensorType[] {
  checkCount(ins, 2, 2);
  checkFloat(...ins);
  checkSameDType(...ins);
  const [x, dy] = ins as [TensorType, TensorType];
  const { layout, groups, kernel } = attrs;
  const rank = checkSpatialRank(x);
  checkPerAxis("kernel", kernel, rank, 1);
  checkPerAxis("stride", attrs.stride, rank, 1);
  checkPerAxis("dilation", attrs.dilation, rank, 1);
  checkPerAxis("padBegin", attrs.padBegin, rank, Number.NEGATIVE_INFINITY);
  checkPerAxis("padEnd", attrs.padEnd, rank, Number.NEGATIVE_INFINITY);
  const axis = channelAxis(layout, rank + 2);
  const [c, n] = [x.shape[axis]!, dy.shape[axis]!];
  if (groups < 1 || c % groups !== 0 || n % groups !== 0) {
    throw new UserError("E_SHAPE", `${c} and ${n} channels do not fit ${groups} groups`);
  }
  const want = spatialOf(layout, x.shape).map((size, i) =>
    windowCount(
      size,
      kernel[i]!,
      attrs.stride[i]!,
      attrs.dilation[i]!,
      attrs.padBegin[i]!,
      attrs.padEnd[i]!,
    ),
  );
  const got = spatialOf(layout, dy.shape);
  if (x.shape[0] !== dy.shape[0] || want.some((d, i) => d !== got[i])) {
    throw new UserError("E_SHAPE", `cotangent [${dy.shape}] does not belong to [${x.shape}]`);
  }
  return [tensorType(x.dtype, spatialShape(layout, n, c / groups, kernel))];
}

interface Plan {
  readonly x: Grid;
  readonly w: Grid;
  readonly y: Grid;
  readonly window: Window;
  /** Output channels of a group. */
  readonly perGroup: number;
}

function planOf(ins: readonly TensorType[], w: TensorType, a: ConvBackwardWeightsAttrs): Plan {
  const y = gridOf(a.layout, ins[1]!.shape);
  return {
    x: gridOf(a.layout, ins[0]!.shape),
    w: gridOf(a.layout, w.shape),
    y,
    window: windowOf(a.kernel, a, a.dilation),
    perGroup: y.channels / a.groups,
  };
}

function evalBackward(
  ins: readonly Tensor[],
  attrs: ConvBackwardWeightsAttrs,
  outs: readonly TensorType[],
): readonly Tensor[] {
  const { x, w, y, window, perGroup } = planOf(
    ins.map((t) => t.type),
    outs[0]!,
    attrs,
  );
  const [xs, dys] = ins.map(numbersOf) as [ArrayLike<number>, ArrayLike<number>];
  const out = zeros(outs[0]!);
  const sums = new Float64Array(out.data.length);
  const [, kh, kw] = window.kernel;
  for (let n = 0; n < y.batch; n++) {
    for (let o = 0; o < y.channels; o++) {
      const first = Math.floor(o / perGroup) * w.channels;
      const xBase = n * x.batchStride + first * x.channelStride;
      const yBase = n * y.batchStride + o * y.channelStride;
      forEachPosition(y.size, (d, h, v) => {
        const ct = dys[yBase + d * y.stride[0] + h * y.stride[1] + v * y.stride[2]]!;
        forEachTap(window, x, [d, h, v], (tap, offset) => {
          const taps = [Math.floor(tap / (kh * kw)), Math.floor(tap / kw) % kh, tap % kw];
          const at =
            o * w.batchStride + taps.reduce((sum, t, i) => sum + t * w.stride[i as 0 | 1 | 2], 0);
          for (let i = 0; i < w.channels; i++) {
            const to = at + i * w.channelStride;
            sums[to] = sums[to]! + ct * xs[xBase + i * x.channelStride + offset]!;
          }
        });
      });
    }
  }
  const write = numberWriter(out);
  sums.forEach((sum, i) => {
    write(i, sum);
  });
  return [out];
}

function lowerBackward(
  ins: readonly TensorType[],
  attrs: ConvBackwardWeightsAttrs,
  outs: readonly TensorType[],
): Kernel {
  const k = new KernelBuilder("conv_backward_weights");
  const real = realTypeOf(outs[0]!.dtype);
  const ports = declarePorts(k, ins, outs, real);
  const [px, py] = ports.ins;
  const { x, w, y, window, perGroup } = planOf(ins, outs[0]!, attrs);
  const axes = [0, 1, 2] as const;
  const element = (o: Expr, i: Expr, tap: readonly Expr[]): void => {
    const sum = k.reg("sum", constant(real, 0));
    const group = k.let("group", perGroup === 1 ? o : div(o, perGroup));
    const channel = k.let("channel", affine([group, w.channels], i));
    k.for("n", 0, y.batch, (n) => {
      const xBase = k.let("x0", affine([n, x.batchStride], [channel, x.channelStride]));
      const yBase = k.let("y0", affine([n, y.batchStride], [o, y.channelStride]));
      const nest = (axis: number, from: Expr, at: Expr): void => {
        if (axis === 3) {
          k.set(sum, fma(px!.read(from), py!.read(at), sum));
          return;
        }
        const a = axes[axis as 0 | 1 | 2];
        k.for("p", 0, y.size[a], (p) => {
          const position = k.let(
            "q",
            affine([p, window.stride[a]], [tap[a]!, window.dilation[a]], -window.pad[a]),
          );
          const inside = and(ge(position, 0), lt(position, x.size[a]));
          k.if(inside, () => {
            const xAt = k.let("xp", affine(from, [position, x.stride[a]]));
            nest(axis + 1, xAt, k.let("yp", affine(at, [p, y.stride[a]])));
          });
        });
      };
      nest(0, xBase, yBase);
    });
    const to = affine([o, w.batchStride], [i, w.channelStride], [tap[0]!, w.stride[0]], [
      tap[1]!,
      w.stride[1],
    ], [tap[2]!, w.stride[2]]); // biome-ignore format: one address
    ports.outs[0]!.write(to, sum);
  };
  k.forParallel("o", 0, y.channels, (o) => {
    k.for("d", 0, window.kernel[0], (d) => {
      k.for("h", 0, window.kernel[1], (h) => {
        k.for("v", 0, window.kernel[2], (v) => {
          k.for("i", 0, w.channels, (i) => element(o, i, [d, h, v]));
        });
      });
    });
  });
  return k.build();
}

const square = { stride: [1, 1], padBegin: [1, 1], padEnd: [1, 1], dilation: [1, 1] };
const samples: readonly Sample<ConvBackwardWeightsAttrs>[] = [
  {
    ins: [f32t(2, 3, 5, 4), f32t(2, 4, 5, 4)],
    attrs: { layout: "nchw", ...square, groups: 1, kernel: [3, 3] },
  },
  {
    ins: [f32t(2, 6, 5, 4), f32t(2, 3, 2, 6)],
    attrs: {
      layout: "nhwc",
      stride: [2, 2],
      padBegin: [0, 1],
      padEnd: [1, 0],
      dilation: [1, 2],
      groups: 2,
      kernel: [3, 2],
    },
  },
  {
    ins: [typed("f64", 1, 3, 9), typed("f64", 1, 3, 4)],
    attrs: {
      layout: "nchw",
      stride: [2],
      padBegin: [0],
      padEnd: [0],
      dilation: [1],
      groups: 3,
      kernel: [3],
    },
  },
];

export const convBackwardWeights = defineOp<ConvBackwardWeightsAttrs>({
  name: "conv_backward_weights",
  quant: "none",
  infer: inferBackward,
  eval: evalBackward,
  cost: (ins, attrs, outs) => {
    const w = outs[0]!.shape;
    const taps = w.slice(1).reduce((a, b) => a * b, 1);
    const positions = spatialOf(attrs.layout, ins[1]!.shape).reduce((a, b) => a * b, 1);
    return { macs: ins[1]!.shape[0]! * positions * w[0]! * taps };
  },
  lower: lowerBackward,
  permute: (attrs, perm) =>
    permuteWindow(attrs, perm, ["stride", "padBegin", "padEnd", "dilation", "kernel"]),
  samples,
});
