/**
 * @file y = (x - mean[c]) / sqrt(variance[c] + epsilon) * gamma[c] + beta[c]. Source: ONNX
 * BatchNormalization.
 */
import { defineOp, type OutQuant, type Sample } from "../../graph/op.ts";
import {
  add,
  affine,
  binary,
  constant,
  KernelBuilder,
  mul,
  sub,
  unary,
} from "../../kernel/build.ts";
import type { Kernel } from "../../kernel/ir.ts";
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
  checkShape,
  declarePorts,
  numbersOf,
  realTypeOf,
  sameStorage,
} from "./access.ts";
import { f32t, quantised, typed } from "./samples.ts";
import { channelAxis, channelSplit, type Layout, permuteLayout } from "./spatial.ts";

export interface BatchNormAttrs {
  readonly layout: Layout;
  readonly epsilon: number;
  readonly out?: OutQuant;
}

const NAMES = ["gamma", "beta", "mean", "variance"];

function inferBatchNorm(
  ins: readonly TensorType[],
  { layout }: BatchNormAttrs,
): readonly TensorType[] {
  checkCount(ins, 5, 5);
  checkFloat(...ins);
  checkSameDType(...ins);
  const x = ins[0]!;
  if (x.shape.length < 2) {
    throw new UserError("E_SHAPE", `expected an input of rank >= 2, got shape [${x.shape}]`);
  }
  const channels = x.shape[channelAxis(layout, x.shape.length)]!;
  NAMES.forEach((name, i) => {
    checkShape(name, ins[i + 1]!, [channels]);
  });
  return [tensorType(x.dtype, x.shape)];
}

function evalBatchNorm(
  ins: readonly Tensor[],
  { layout, epsilon }: BatchNormAttrs,
  outs: readonly TensorType[],
): readonly Tensor[] {
  const [x, gamma, beta, mean, variance] = ins.map(numbersOf) as ArrayLike<number>[] as [
    ArrayLike<number>,
    ArrayLike<number>,
    ArrayLike<number>,
    ArrayLike<number>,
    ArrayLike<number>,
  ];
  const out = zeros(outs[0]!);
  const write = numberWriter(out);
  const { channels, inner } = channelSplit(layout, ins[0]!.type.shape);
  for (let i = 0; i < out.data.length; i++) {
    const c = Math.floor(i / inner) % channels;
    const scale = gamma[c]! / Math.sqrt(variance[c]! + epsilon);
    write(i, (x[i]! - mean[c]!) * scale + beta[c]!);
  }
  return [out];
}

function lowerBatchNorm(
  ins: readonly TensorType[],
  { layout, epsilon }: BatchNormAttrs,
  outs: readonly TensorType[],
): Kernel {
  const k = new KernelBuilder("batch_norm");
  const real = realTypeOf(outs[0]!.dtype);
  const ports = declarePorts(k, ins, outs, real);
  const y = ports.outs[0]!;
  const [x, gamma, beta, mean, variance] = ports.ins.map((p) => p.read);
  const { outer, channels, inner } = channelSplit(layout, ins[0]!.shape);
  k.forParallel("c", 0, channels, (c) => {
    const deviation = unary("sqrt", add(variance!(c), constant(real, epsilon)));
    const scale = k.let("scale", binary("div", gamma!(c), deviation));
    const centre = k.let("mean", mean!(c));
    const shift = k.let("beta", beta!(c));
    k.forParallel("n", 0, outer, (n) => {
      const base = k.let("base", affine([n, channels * inner], [c, inner]));
      k.for("i", 0, inner, (i) => {
        const at = k.let("at", add(base, i));
        y.write(at, k.let("y", add(mul(sub(x!(at), centre), scale), shift)));
      });
    });
  });
  return k.build();
}

const channel = (n: number) => Array.from({ length: 4 }, () => f32t(n));
const positive = (n: number) => Array.from({ length: n }, (_, i) => 0.3 + 0.4 * i);
const samples: readonly Sample<BatchNormAttrs>[] = [
  {
    ins: [f32t(2, 3, 4, 5), ...channel(3)],
    attrs: { layout: "nchw", epsilon: 1e-5 },
    values: { 4: positive(3) },
  },
  {
    ins: [f32t(2, 3, 4, 5), ...channel(5)],
    attrs: { layout: "nhwc", epsilon: 1e-3 },
    values: { 4: positive(5) },
  },
  {
    ins: [f32t(3, 4), ...channel(4)],
    attrs: { layout: "nchw", epsilon: 1e-5 },
    values: { 4: positive(4) },
  },
  ...(["f64", "f16", "bf16"] as const).map((dtype) => ({
    ins: [typed(dtype, 1, 3, 4), ...channel(3).map(() => typed(dtype, 3))],
    attrs: { layout: "nchw" as const, epsilon: 1e-5 },
    values: { 4: positive(3) },
  })),
  {
    ins: [quantised("i8", [1, 3, 2, 2], 0.05, 3), ...channel(3)],
    attrs: { layout: "nchw", epsilon: 1e-5 },
    values: { 4: positive(3) },
  },
];

export const batchNorm = defineOp<BatchNormAttrs>({
  name: "batch_norm",
  parameters: [1, 2],
  quant: "float",
  infer: inferBatchNorm,
  axes: (ins, { layout }) => {
    const rank = ins[0]!.shape.length;
    const letters = layout === "nchw" ? "nchwd".slice(0, rank) : `n${"hwd".slice(0, rank - 2)}c`;
    return `${letters},c,c,c,c->${letters}`;
  },
  eval: evalBatchNorm,
  lower: lowerBatchNorm,
  permute: (attrs, perm) => {
    const to = permuteLayout(attrs.layout, perm);
    return to === null ? null : { ...attrs, layout: to.layout };
  },
  inPlace: (ins, _, outs) => (sameStorage(ins[0]!, outs[0]!) ? 0 : null),
  samples,
});
