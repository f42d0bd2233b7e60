/**
 * @file Maximum over a sliding window; padding takes no part. Source: ONNX MaxPool, TensorFlow Lite
 * MAX_POOL_2D.
 */
import { defineOp, type Sample } from "../../graph/op.ts";
import { affine, KernelBuilder } from "../../kernel/build.ts";
import type { Kernel } from "../../kernel/ir.ts";
import { DTYPES, isBig, isFloat } from "../../tensor/dtype.ts";
import { type Tensor, type TensorType, tensorType, zeros } from "../../tensor/tensor.ts";
import { UserError } from "../../util/errors.ts";
import { declare } from "../lowering.ts";
import { lowest, maxOf, numbersOf } from "./access.ts";
import {
  forEachPooled,
  type PoolAttrs,
  permutePool,
  poolAxes,
  poolPlan,
  poolShape,
} from "./pool.ts";
import { f32t, quantised, typed } from "./samples.ts";
import { forEachOutput, forEachTap, placeWindow, spatialOffset } from "./window.ts";

export type MaxPoolAttrs = PoolAttrs;

function inferMaxPool(ins: readonly TensorType[], attrs: MaxPoolAttrs): readonly TensorType[] {
  const shape = poolShape(ins, attrs);
  const { dtype } = ins[0]!;
  if (dtype === "bool") throw new UserError("E_DTYPE", "a pool takes numbers, got bool");
  return [tensorType(dtype, shape)];
}

function evalMaxPool(
  ins: readonly Tensor[],
  attrs: MaxPoolAttrs,
  outs: readonly TensorType[],
): readonly Tensor[] {
  const x = ins[0]!;
  const out = zeros(outs[0]!);
  const plan = poolPlan(x.type, outs[0]!, attrs);
  const { dtype } = x.type;
  // Elements are compared as numbers and copied as stored: f16 bits, 64-bit integers.
  const values: ArrayLike<number | bigint> = isBig(dtype)
    ? (x.data as BigInt64Array)
    : numbersOf(x);
  const from = x.data as Float64Array;
  const to = out.data as Float64Array;
  const empty = zeros(tensorType(dtype, [1])).data as Float64Array;
  empty[0] = emptyMaximum(dtype) as number;
  forEachPooled(plan, (at, base, d, h, w) => {
    let best = -1;
    forEachTap(plan.window, plan.x, [d, h, w], (_, offset) => {
      const v = values[base + offset]!;
      if (best < 0) best = base + offset;
      else if (!(v <= values[best]!) && !Number.isNaN(values[best])) best = base + offset;
    });
    to[at] = best < 0 ? empty[0]! : from[best]!;
  });
  return [out];
}

/** What a window without elements gives, as stored. */
function emptyMaximum(dtype: TensorType["dtype"]): number | bigint {
  if (dtype === "f16") return 0xfc00;
  if (dtype === "bf16") return 0xff80;
  if (isFloat(dtype)) return Number.NEGATIVE_INFINITY;
  if (dtype === "i64") return -(1n << 63n);
  return dtype === "u64" ? 0n : DTYPES[dtype].min;
}

function lowerMaxPool(
  ins: readonly TensorType[],
  attrs: MaxPoolAttrs,
  outs: readonly TensorType[],
): Kernel {
  const k = new KernelBuilder("max_pool");
  const buffers = declare(k, ins, outs);
  const [from, to] = [buffers.ins[0]!, buffers.outs[0]!];
  const { dtype } = ins[0]!;
  const { x, y, window } = poolPlan(ins[0]!, outs[0]!, attrs);
  forEachOutput(k, y, attrs.layout === "nhwc", (n, c, at) => {
    const base = k.let("x", affine([n, x.batchStride], [c, x.channelStride]));
    const best = k.reg("best", lowest(dtype));
    placeWindow(k, window, x.size, y.size, at).each((_, position) => {
      const v = k.let("v", k.load(from, affine(base, spatialOffset(position, x))));
      k.set(best, maxOf(dtype, v, best));
    });
    const index = affine([n, y.batchStride], [c, y.channelStride], spatialOffset(at, y));
    k.store(to, index, best);
  });
  return k.build();
}

const square = { stride: [2, 2], padBegin: [0, 0], padEnd: [0, 0] };
const samples: readonly Sample<MaxPoolAttrs>[] = [
  { ins: [f32t(2, 3, 6, 5)], attrs: { layout: "nchw", kernel: [2, 3], ...square } },
  {
    ins: [f32t(1, 5, 6, 3)],
    attrs: {
      layout: "nhwc",
      kernel: [3, 3],
      stride: [2, 1],
      padBegin: [1, 1],
      padEnd: [1, 0],
      dilation: [1, 2],
    },
  },
  {
    ins: [f32t(1, 2, 8)],
    attrs: { layout: "nchw", kernel: [3], stride: [3], padBegin: [1], padEnd: [1], ceil: true },
  },
  {
    ins: [typed("f64", 1, 2, 3, 4, 3)],
    attrs: {
      layout: "nchw",
      kernel: [2, 2, 2],
      stride: [1, 2, 1],
      padBegin: [0, 1, 0],
      padEnd: [0, 0, 1],
      ceil: true,
    },
  },
  ...(["f16", "bf16", "i8", "u8", "i32", "u32", "i64", "u64"] as const).map((dtype) => ({
    ins: [typed(dtype, 1, 4, 5, 2)],
    attrs: { layout: "nhwc" as const, kernel: [2, 2], ...square },
  })),
  {
    ins: [quantised("u8", [1, 4, 5, 2], 0.1, 100)],
    attrs: { layout: "nhwc", kernel: [2, 2], ...square },
  },
];

export const maxPool = defineOp<MaxPoolAttrs>({
  name: "max_pool",
  quant: "same",
  infer: inferMaxPool,
  axes: poolAxes,
  eval: evalMaxPool,
  lower: lowerMaxPool,
  permute: permutePool,
  samples,
});
