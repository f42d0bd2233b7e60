/**
 * @file Local response normalisation across channels: y[c] = x[c] / (bias + alpha / size * s)^beta,
 * where s sums x^2 over channels c - floor((size - 1) / 2) to c + ceil((size - 1) / 2). Source:
 * ONNX LRN.
 */
import { defineOp, type OutQuant, type Sample } from "../../graph/op.ts";
import {
  add,
  affine,
  binary,
  call,
  constant,
  KernelBuilder,
  max,
  min,
  mul,
  sub,
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
import { product } from "../../util/math.ts";
import { checkCount, checkFloat, declarePorts, numbersOf, realTypeOf } from "./access.ts";
import { f32t, typed } from "./samples.ts";
import { channelAxis, type Layout, permuteLayout } from "./spatial.ts";

export interface LrnAttrs {
  readonly layout: Layout;
  /** Number of channels summed, centred on the own one. */
  readonly size: number;
  readonly alpha: number;
  readonly beta: number;
  readonly bias: number;
  readonly out?: OutQuant;
}

function inferLrn(ins: readonly TensorType[], { size }: LrnAttrs): readonly TensorType[] {
  checkCount(ins, 1, 1);
  checkFloat(...ins);
  const x = ins[0]!;
  if (x.shape.length < 2 || !Number.isInteger(size) || size < 1) {
    throw new UserError("E_SHAPE", `shape [${x.shape}] cannot be normalised over ${size} channels`);
  }
  return [tensorType(x.dtype, x.shape)];
}

/** The tensor as [outer, channels, inner], and the reach of the sum below and above. */
function plan(shape: readonly number[], { layout, size }: LrnAttrs) {
  const c = channelAxis(layout, shape.length);
  return {
    outer: product(shape.slice(0, c)),
    channels: shape[c]!,
    inner: product(shape.slice(c + 1)),
    below: Math.floor((size - 1) / 2),
    above: Math.ceil((size - 1) / 2),
  };
}

function evalLrn(
  ins: readonly Tensor[],
  attrs: LrnAttrs,
  outs: readonly TensorType[],
): readonly Tensor[] {
  const x = numbersOf(ins[0]!);
  const out = zeros(outs[0]!);
  const write = numberWriter(out);
  const { channels, inner, below, above } = plan(outs[0]!.shape, attrs);
  for (let i = 0; i < x.length; i++) {
    const c = Math.floor(i / inner) % channels;
    let sum = 0;
    for (let d = Math.max(-below, -c); d <= Math.min(above, channels - 1 - c); d++) {
      sum += x[i + d * inner]! ** 2;
    }
    write(i, x[i]! / (attrs.bias + (attrs.alpha / attrs.size) * sum) ** attrs.beta);
  }
  return [out];
}

function lowerLrn(
  ins: readonly TensorType[],
  attrs: LrnAttrs,
  outs: readonly TensorType[],
): Kernel {
  const k = new KernelBuilder("lrn");
  const real = realTypeOf(outs[0]!.dtype);
  const ports = declarePorts(k, ins, outs, real);
  const [x, y] = [ports.ins[0]!, ports.outs[0]!];
  const { outer, channels, inner, below, above } = plan(outs[0]!.shape, attrs);
  k.forParallel("n", 0, outer, (n) => {
    k.forParallel("c", 0, channels, (c) => {
      const first = k.let("first", max(0, sub(c, below)));
      const end = k.let("end", min(channels, add(c, above + 1)));
      k.for("i", 0, inner, (i) => {
        const base = k.let("base", affine([n, channels * inner], i));
        const sum = k.reg("sum", constant(real, 0));
        k.for("d", first, end, (d) => {
          const v = k.let("v", x.read(affine(base, [d, inner])));
          k.set(sum, add(sum, mul(v, v)));
        });
        const scaled = mul(constant(real, attrs.alpha / attrs.size), sum);
        const power = call(
          "pow",
          k.let("b", add(constant(real, attrs.bias), scaled)),
          constant(real, attrs.beta),
        );
        const at = k.let("at", affine(base, [c, inner]));
        y.write(at, k.let("y", binary("div", x.read(at), power)));
      });
    });
  });
  return k.build();
}

const common = { alpha: 0.02, beta: 0.75, bias: 1 };
const samples: readonly Sample<LrnAttrs>[] = [
  { ins: [f32t(2, 5, 3, 2)], attrs: { layout: "nchw", size: 3, ...common } },
  { ins: [f32t(1, 3, 2, 6)], attrs: { layout: "nhwc", size: 4, ...common, bias: 2 } },
  { ins: [typed("f64", 1, 4, 3)], attrs: { layout: "nchw", size: 5, ...common } },
  { ins: [typed("f16", 1, 4, 3)], attrs: { layout: "nchw", size: 5, ...common } },
  { ins: [typed("bf16", 1, 4, 3)], attrs: { layout: "nchw", size: 5, ...common } },
];

export const lrn = defineOp<LrnAttrs>({
  name: "lrn",
  quant: "float",
  infer: inferLrn,
  eval: evalLrn,
  lower: lowerLrn,
  permute: (attrs, perm) => {
    const to = permuteLayout(attrs.layout, perm);
    return to === null ? null : { ...attrs, layout: to.layout };
  },
  samples,
});
