/**
 * @file Maximum over a window together with where it was found: the flat index of the first maximum
 * in x, counted as nchw whatever the layout. Source: ONNX MaxPool with two outputs.
 */
import { defineOp, type Sample } from "../../graph/op.ts";
import { affine, binary, cast, i32, KernelBuilder } from "../../kernel/build.ts";
import type { Kernel } from "../../kernel/ir.ts";
import { isBig } from "../../tensor/dtype.ts";
import { type Tensor, type TensorType, tensorType, zeros } from "../../tensor/tensor.ts";
import { UserError } from "../../util/errors.ts";
import { declare } from "../lowering.ts";
import { lowest, numbersOf } from "./access.ts";
import { type PoolAttrs, permutePool, poolAxes, poolPlan, poolShape } from "./pool.ts";
import { f32t, typed } from "./samples.ts";
import { type Grid, permuteLayout, type Triple } from "./spatial.ts";
import {
  forEachOutput,
  forEachPosition,
  forEachTap,
  placeWindow,
  spatialOffset,
} from "./window.ts";

export interface MaxPoolIndicesAttrs extends PoolAttrs {
  /** 1: the spatial axes of an index count with the first one fastest. */
  readonly storageOrder: 0 | 1;
}

function inferMaxPoolIndices(
  ins: readonly TensorType[],
  attrs: MaxPoolIndicesAttrs,
): readonly TensorType[] {
  const shape = poolShape(ins, attrs);
  const { dtype } = ins[0]!;
  if (dtype === "bool") throw new UserError("E_DTYPE", "a pool takes numbers, got bool");
  return [tensorType(dtype, shape), tensorType("i64", shape)];
}

/** Strides of the three spatial axes in an index. */
function indexStrides(x: Grid, storageOrder: 0 | 1): Triple {
  const [d, h, w] = x.size;
  return storageOrder === 0 ? [h * w, w, 1] : [1, d, d * h];
}

function evalMaxPoolIndices(
  ins: readonly Tensor[],
  attrs: MaxPoolIndicesAttrs,
  outs: readonly TensorType[],
): readonly Tensor[] {
  const input = ins[0]!;
  const [out, where] = outs.map(zeros) as [Tensor, Tensor];
  const { x, y, window } = poolPlan(input.type, outs[0]!, attrs);
  const steps = indexStrides(x, attrs.storageOrder);
  const spatial = x.size[0] * x.size[1] * x.size[2];
  const values: ArrayLike<number | bigint> = isBig(input.type.dtype)
    ? (input.data as BigInt64Array)
    : numbersOf(input);
  const from = input.data as Float64Array;
  const to = out.data as Float64Array;
  const [, kh, kw] = window.kernel;
  for (let plane = 0; plane < x.batch * x.channels; plane++) {
    const n = Math.floor(plane / x.channels);
    const c = plane % x.channels;
    const base = n * x.batchStride + c * x.channelStride;
    const start = n * y.batchStride + c * y.channelStride;
    forEachPosition(y.size, (d, h, w) => {
      let best = -1;
      let index = 0;
      forEachTap(window, x, [d, h, w], (tap, offset) => {
        if (best >= 0 && !(values[base + offset]! > values[best]!)) return;
        best = base + offset;
        const taps = [Math.floor(tap / (kh * kw)), Math.floor(tap / kw) % kh, tap % kw];
        index = [d, h, w].reduce((sum, o, i) => {
          const at = o * window.stride[i]! - window.pad[i]! + taps[i]! * window.dilation[i]!;
          return sum + at * steps[i]!;
        }, plane * spatial);
      });
      const at = start + d * y.stride[0] + h * y.stride[1] + w * y.stride[2];
      to[at] = from[Math.max(best, 0)]!;
      where.data[at] = BigInt(index);
    });
  }
  return [out, where];
}

function lowerMaxPoolIndices(
  ins: readonly TensorType[],
  attrs: MaxPoolIndicesAttrs,
  outs: readonly TensorType[],
): Kernel {
  const k = new KernelBuilder("max_pool_indices");
  const buffers = declare(k, ins, outs);
  const { dtype } = ins[0]!;
  const { x, y, window } = poolPlan(ins[0]!, outs[0]!, attrs);
  const steps = indexStrides(x, attrs.storageOrder);
  const spatial = x.size[0] * x.size[1] * x.size[2];
  const greater = dtype === "u32" || dtype === "u64" ? "gt_u" : "gt";
  forEachOutput(k, y, attrs.layout === "nhwc", (n, c, at) => {
    const base = k.let("x", affine([n, x.batchStride], [c, x.channelStride]));
    const plane = k.let("plane", affine([n, x.channels * spatial], [c, spatial]));
    const best = k.reg("best", lowest(dtype));
    const index = k.reg("index", i32(-1));
    placeWindow(k, window, x.size, y.size, at).each((_, p) => {
      const v = k.let("v", k.load(buffers.ins[0]!, affine(base, spatialOffset(p, x))));
      const first = binary("lt", index, 0);
      k.if(binary("or", first, binary(greater, v, best)), () => {
        k.set(best, v);
        k.set(index, affine(plane, ...p.map((e, i) => [e, steps[i]!] as const)));
      });
    });
    const to = k.let("at", affine([n, y.batchStride], [c, y.channelStride], spatialOffset(at, y)));
    k.store(buffers.outs[0]!, to, best);
    k.store(buffers.outs[1]!, to, cast("i64", "extend_s", index));
  });
  return k.build();
}

const window = { kernel: [2, 3], stride: [2, 1], padBegin: [0, 1], padEnd: [1, 1] };
const samples: readonly Sample<MaxPoolIndicesAttrs>[] = [
  { ins: [f32t(2, 3, 5, 4)], attrs: { layout: "nchw", ...window, storageOrder: 0 } },
  { ins: [f32t(2, 5, 4, 3)], attrs: { layout: "nhwc", ...window, storageOrder: 1 } },
  {
    ins: [typed("u8", 1, 2, 7)],
    attrs: {
      layout: "nchw",
      kernel: [3],
      stride: [2],
      padBegin: [0],
      padEnd: [0],
      dilation: [2],
      ceil: true,
      storageOrder: 0,
    },
  },
  { ins: [typed("f16", 1, 2, 5, 4)], attrs: { layout: "nchw", ...window, storageOrder: 1 } },
  { ins: [typed("i64", 1, 2, 5, 4)], attrs: { layout: "nchw", ...window, storageOrder: 0 } },
];

export const maxPoolIndices = defineOp<MaxPoolIndicesAttrs>({
  name: "max_pool_indices",
  quant: "none",
  infer: inferMaxPoolIndices,
  axes: (ins, attrs) => {
    const axes = poolAxes(ins, attrs);
    return `${axes},${axes.split("->")[1]}`;
  },
  // The indices count over all channels.
  ties: () => ({ all: [] }),
  eval: evalMaxPoolIndices,
  lower: lowerMaxPoolIndices,
  // The order of the spatial axes is part of the indices' meaning.
  permute: (attrs, perm) => {
    const order = permuteLayout(attrs.layout, perm)?.order ?? [];
    return order.length > 0 && order.every((p, i) => p === i) ? permutePool(attrs, perm) : null;
  },
  samples,
});
