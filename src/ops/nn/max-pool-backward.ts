/**
 * @file The gradient of max_pool with respect to its input: each cotangent goes to the first maximum under its
 * window. Inputs: x and the cotangent of the result; attributes are the pool's.
 */
import { defineOp, type Sample } from "../../graph/op.ts";
import { add, affine, binary, constant, i32, KernelBuilder } from "../../kernel/build.ts";
import type { Kernel } from "../../kernel/ir.ts";
import { sameShape, type Tensor, type TensorType, tensorType, zeros } from "../../tensor/tensor.ts";
import { UserError } from "../../util/errors.ts";
import { checkCount, checkSameDType } from "./access.ts";
import type { MaxPoolAttrs } from "./max-pool.ts";
import { forEachPooled, permutePool, poolPlan, poolShape } from "./pool.ts";
import { f32t, typed } from "./samples.ts";
import { forEachTap, placeWindow, spatialOffset } from "./window.ts";

function inferBackward(ins: readonly TensorType[], attrs: MaxPoolAttrs): readonly TensorType[] {
  checkCount(ins, 2, 2);
  checkSameDType(...ins);
  const [x, dy] = ins as [TensorType, TensorType];
  if (x.dtype !== "f32" && x.dtype !== "f64") {
    throw new UserError("E_DTYPE", `gradients are f32 or f64, got ${x.dtype}`);
  }
  const want = poolShape([x], attrs);
  if (!sameShape(want, dy.shape)) {
    throw new UserError("E_SHAPE", `cotangent [${dy.shape}] does not belong to [${want}]`);
  }
  return [tensorType(x.dtype, x.shape)];
}

function evalBackward(
  ins: readonly Tensor[],
  attrs: MaxPoolAttrs,
  outs: readonly TensorType[],
): readonly Tensor[] {
  const [x, dy] = ins as [Tensor, Tensor];
  const out = zeros(outs[0]!);
  const plan = poolPlan(x.type, dy.type, attrs);
  const values = x.data as Float64Array;
  const to = out.data as Float64Array;
  forEachPooled(plan, (at, base, d, h, w) => {
    let best = -1;
    forEachTap(plan.window, plan.x, [d, h, w], (_, offset) => {
      if (best < 0 || values[base + offset]! > values[best]!) best = base + offset;
    });
    if (best >= 0) to[best] = to[best]! + (dy.data[at] as number);
  });
  return [out];
}

function lowerBackward(
  ins: readonly TensorType[],
  attrs: MaxPoolAttrs,
  outs: readonly TensorType[],
): Kernel {
  const k = new KernelBuilder("max_pool_backward");
  const dtype = outs[0]!.dtype as "f32" | "f64";
  const [from, ct] = ins.map((t, i) =>
    k.buffer(`in${i}`, t.dtype, t.shape.reduce((a, b) => a * b, 1), "in"),
  ); // biome-ignore format: one statement
  const size = outs[0]!.shape.reduce((a, b) => a * b, 1);
  const to = k.buffer("out0", dtype, size, "out");
  const { x, y, window } = poolPlan(ins[0]!, ins[1]!, attrs);
  const spatial = (body: (at: Parameters<typeof spatialOffset>[0]) => void): void =>
    k.for("d", 0, y.size[0], (d) =>
      k.for("h", 0, y.size[1], (h) => k.for("w", 0, y.size[2], (w) => body([d, h, w]))),
    );
  k.fill(to, 0, 0, size);
  k.for("n", 0, x.batch, (n) =>
    k.for("c", 0, x.channels, (c) => {
      const base = k.let("x0", affine([n, x.batchStride], [c, x.channelStride]));
      const yBase = k.let("y0", affine([n, y.batchStride], [c, y.channelStride]));
      spatial((at) => {
        const best = k.reg("best", constant(dtype, Number.NEGATIVE_INFINITY));
        const place = k.reg("place", i32(-1));
        placeWindow(k, window, x.size, y.size, at).each((_, p) => {
          const index = k.let("index", affine(base, spatialOffset(p, x)));
          const v = k.let("v", k.load(from!, index));
          const better = binary("or", binary("lt", place, 0), binary("gt", v, best));
          k.if(better, () => {
            k.set(best, v);
            k.set(place, index);
          });
        });
        const value = k.load(ct!, affine(yBase, spatialOffset(at, y)));
        k.if(binary("ge", place, 0), () => k.store(to, place, add(k.load(to, place), value)));
      });
    }),
  );
  return k.build();
}

const samples: readonly Sample<MaxPoolAttrs>[] = [
  {
    ins: [f32t(2, 3, 6, 5), f32t(2, 3, 3, 2)],
    attrs: { layout: "nchw", kernel: [2, 3], stride: [2, 2], padBegin: [0, 0], padEnd: [0, 0] },
  },
  {
    ins: [typed("f64", 1, 5, 6, 3), typed("f64", 1, 5, 6, 3)],
    attrs: { layout: "nhwc", kernel: [3, 3], stride: [1, 1], padBegin: [1, 1], padEnd: [1, 1] },
  },
];

export const maxPoolBackward = defineOp<MaxPoolAttrs>({
  name: "max_pool_backward",
  quant: "none",
  infer: inferBackward,
  eval: evalBackward,
  lower: lowerBackward,
  permute: permutePool,
  samples,
});
