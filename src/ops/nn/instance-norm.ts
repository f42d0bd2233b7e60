/**
 * @file Each channel of each sample brought to mean 0 and variance 1, then scaled and shifted.
 * Source: ONNX InstanceNormalization.
 */

import { defineOp, type OutQuant, type Sample } from "../../graph/op.ts";
import { resultPort, sameIndex } from "../../graph/ties.ts";
import { add, affine, KernelBuilder, mul } from "../../kernel/build.ts";
import type { Expr, Kernel } from "../../kernel/ir.ts";
import { strides } from "../../tensor/shape.ts";
import {
  numberWriter,
  type Tensor,
  type TensorType,
  tensorType,
  zeros,
} from "../../tensor/tensor.ts";
import { UserError } from "../../util/errors.ts";
import { product } from "../../util/math.ts";
import {
  checkCount,
  checkFloat,
  checkSameDType,
  checkShape,
  declarePorts,
  numbersOf,
  realTypeOf,
  sameStorage,
} from "./access.ts";
import { f32t, typed } from "./samples.ts";
import { channelAxis, type Layout, permuteLayout } from "./spatial.ts";
import { standardise, statistics } from "./standardise.ts";

export interface InstanceNormAttrs {
  readonly layout: Layout;
  readonly epsilon: number;
  readonly out?: OutQuant;
}

function inferInstanceNorm(
  ins: readonly TensorType[],
  { layout }: InstanceNormAttrs,
): readonly TensorType[] {
  checkCount(ins, 3, 3);
  checkFloat(...ins);
  checkSameDType(...ins);
  const x = ins[0]!;
  if (x.shape.length < 3) {
    throw new UserError("E_SHAPE", `expected an input of rank >= 3, got shape [${x.shape}]`);
  }
  const channels = x.shape[channelAxis(layout, x.shape.length)]!;
  checkShape("gamma", ins[1]!, [channels]);
  checkShape("beta", ins[2]!, [channels]);
  return [tensorType(x.dtype, x.shape)];
}

/**
 * Sizes and strides: the spatial axes are contiguous in both layouts but for the channel's step.
 */
function walk(layout: Layout, shape: readonly number[]) {
  const c = channelAxis(layout, shape.length);
  const s = strides(shape);
  const channels = shape[c]!;
  return {
    batch: shape[0]!,
    channels,
    count: product(shape.slice(1)) / channels,
    batchStride: s[0]!,
    channelStride: s[c]!,
    step: layout === "nchw" ? 1 : channels,
  };
}

function evalInstanceNorm(
  ins: readonly Tensor[],
  { layout, epsilon }: InstanceNormAttrs,
  outs: readonly TensorType[],
): readonly Tensor[] {
  const x = numbersOf(ins[0]!);
  const gamma = numbersOf(ins[1]!);
  const beta = numbersOf(ins[2]!);
  const out = zeros(outs[0]!);
  const write = numberWriter(out);
  const w = walk(layout, outs[0]!.shape);
  for (let n = 0; n < w.batch; n++) {
    for (let c = 0; c < w.channels; c++) {
      const base = n * w.batchStride + c * w.channelStride;
      const value = (i: number): number => x[base + i * w.step]!;
      const { mean, inverse } = statistics(w.count, value, epsilon, true);
      for (let i = 0; i < w.count; i++) {
        write(base + i * w.step, (value(i) - mean) * inverse * gamma[c]! + beta[c]!);
      }
    }
  }
  return [out];
}

function lowerInstanceNorm(
  ins: readonly TensorType[],
  { layout, epsilon }: InstanceNormAttrs,
  outs: readonly TensorType[],
): Kernel {
  const k = new KernelBuilder("instance_norm");
  const real = realTypeOf(outs[0]!.dtype);
  const ports = declarePorts(k, ins, outs, real);
  const [x, gamma, beta] = ports.ins;
  const w = walk(layout, outs[0]!.shape);
  k.forParallel("n", 0, w.batch, (n) => {
    k.forParallel("c", 0, w.channels, (c) => {
      const base = k.let("base", affine([n, w.batchStride], [c, w.channelStride]));
      const scale = k.let("gamma", gamma!.read(c));
      const shift = k.let("beta", beta!.read(c));
      const each = (body: (value: Expr, at: Expr) => void): void =>
        k.for("i", 0, w.count, (i) => {
          const at = k.let("at", affine(base, [i, w.step]));
          body(x!.read(at), at);
        });
      standardise(k, { count: w.count, each }, real, epsilon, true, (normal, at) => {
        ports.outs[0]!.write(at, k.let("y", add(mul(normal, scale), shift)));
      });
    });
  });
  return k.build();
}

const samples: readonly Sample<InstanceNormAttrs>[] = [
  { ins: [f32t(2, 3, 4, 5), f32t(3), f32t(3)], attrs: { layout: "nchw", epsilon: 1e-5 } },
  { ins: [f32t(2, 3, 4, 5), f32t(5), f32t(5)], attrs: { layout: "nhwc", epsilon: 1e-3 } },
  ...(["f64", "f16", "bf16"] as const).map((dtype) => ({
    ins: [typed(dtype, 1, 3, 6), typed(dtype, 3), typed(dtype, 3)],
    attrs: { layout: "nchw" as const, epsilon: 1e-5 },
  })),
];

export const instanceNorm = defineOp<InstanceNormAttrs>({
  name: "instance_norm",
  parameters: [1, 2],
  quant: "float",
  infer: inferInstanceNorm,
  ties: ([x], { layout }) => {
    const c = channelAxis(layout, x!.shape.length);
    const y = resultPort(0);
    const channels = sameIndex(x!.shape[c]!, [0, c], [1, 0], [2, 0], [y, c]);
    return { all: [sameIndex(x!.shape[0]!, [0, 0], [y, 0]), channels] };
  },
  eval: evalInstanceNorm,
  lower: lowerInstanceNorm,
  permute: (attrs, perm) => {
    const to = permuteLayout(attrs.layout, perm);
    return to === null ? null : { ...attrs, layout: to.layout };
  },
  inPlace: (ins, _, outs) => (sameStorage(ins[0]!, outs[0]!) ? 0 : null),
  samples,
});
