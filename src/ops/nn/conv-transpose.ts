/**
 * @file Transposed convolution: every input element adds its multiple of the kernel to the output.
 * Weights are [I, O/g, k…] (nchw) or [I, k…, O/g] (nhwc). Source: ONNX ConvTranspose, TensorFlow
 * Lite TRANSPOSE_CONV.
 */

import { type Activation, defineOp, type OutQuant, type Sample } from "../../graph/op.ts";
import { type AxisTies, resultPort, sameIndex } from "../../graph/ties.ts";
import { add, affine, binary, constant, fma, KernelBuilder, sub } from "../../kernel/build.ts";
import type { Expr, Kernel } from "../../kernel/ir.ts";
import {
  numberWriter,
  type Tensor,
  type TensorType,
  tensorType,
  zeros,
} from "../../tensor/tensor.ts";
import { UserError } from "../../util/errors.ts";
import { product } from "../../util/math.ts";
import { SCALARS } from "../scalar.ts";
import {
  checkCount,
  checkFloat,
  checkSameDType,
  checkShape,
  declarePorts,
  numbersOf,
  realTypeOf,
} from "./access.ts";
import { finisher } from "./contraction.ts";
import { f32t, outQuant, perChannel, quantised, typed } from "./samples.ts";
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
  windowOf,
} from "./spatial.ts";
import { forEachOutput, forEachPosition, spatialOffset } from "./window.ts";

export interface ConvTransposeAttrs extends WindowAttrs {
  readonly dilation: readonly number[];
  readonly groups: number;
  /** Rows added at the end of each axis. */
  readonly outputPad: readonly number[];
  readonly act?: Activation;
  readonly out?: OutQuant;
}

function inferConvTranspose(
  ins: readonly TensorType[],
  attrs: ConvTransposeAttrs,
): readonly TensorType[] {
  checkCount(ins, 2, 3);
  checkFloat(...ins);
  checkSameDType(...ins);
  const [x, w, bias] = ins as [TensorType, TensorType, TensorType?];
  const { layout, groups, stride, dilation, padBegin, padEnd, outputPad } = attrs;
  const rank = checkSpatialRank(x);
  checkPerAxis("stride", stride, rank, 1);
  checkPerAxis("dilation", dilation, rank, 1);
  checkPerAxis("padBegin", padBegin, rank, Number.NEGATIVE_INFINITY);
  checkPerAxis("padEnd", padEnd, rank, Number.NEGATIVE_INFINITY);
  checkPerAxis("outputPad", outputPad, rank, 0);
  const channels = x.shape[channelAxis(layout, rank + 2)]!;
  if (w.shape.length !== rank + 2 || w.shape[0] !== channels || channels % groups !== 0) {
    throw new UserError(
      "E_SHAPE",
      `${channels} channels, ${layout} weights [${w.shape}] and ${groups} groups do not fit`,
    );
  }
  const outputs = w.shape[channelAxis(layout, rank + 2)]! * groups;
  const kernel = spatialOf(layout, w.shape);
  const spatial = spatialOf(layout, x.shape).map((n, i) => {
    const reach = (n - 1) * stride[i]! + (kernel[i]! - 1) * dilation[i]! + 1;
    return reach + outputPad[i]! - padBegin[i]! - padEnd[i]!;
  });
  if (spatial.some((n) => n < 1)) {
    throw new UserError("E_SHAPE", `padding leaves an output of size [${spatial}]`);
  }
  if (bias !== undefined) checkShape("bias", bias, [outputs]);
  if (attrs.act !== undefined && SCALARS[attrs.act.fn] === undefined) {
    throw new UserError("E_MODEL", `'${attrs.act.fn}' is not an activation that can be fused`);
  }
  return [tensorType(x.dtype, spatialShape(layout, x.shape[0]!, outputs, spatial))];
}

interface Plan {
  readonly x: Grid;
  readonly w: Grid;
  readonly y: Grid;
  readonly window: Window;
  /** Input and output channels of one group. */
  readonly inputs: number;
  readonly outputs: number;
}

function planOf(
  x: readonly number[],
  w: readonly number[],
  y: readonly number[],
  attrs: ConvTransposeAttrs,
): Plan {
  const gx = gridOf(attrs.layout, x);
  const gw = gridOf(attrs.layout, w);
  const window = windowOf(spatialOf(attrs.layout, w), attrs, attrs.dilation);
  const y3 = gridOf(attrs.layout, y);
  return { x: gx, w: gw, y: y3, window, inputs: gx.channels / attrs.groups, outputs: gw.channels };
}

/** Adds input element `value` of channel `i` at (d, h, v) times the kernel to all its outputs. */
function scatter(
  p: Plan,
  sums: Float64Array,
  ws: ArrayLike<number>,
  value: number,
  i: number,
  base: number,
  at: readonly number[],
): void {
  const { window, y, w } = p;
  forEachPosition(window.kernel, (a, b, c) => {
    const tap = [a, b, c];
    let to = base;
    for (let axis = 0; axis < 3; axis++) {
      const o =
        at[axis]! * window.stride[axis]! + tap[axis]! * window.dilation[axis]! - window.pad[axis]!;
      if (o < 0 || o >= y.size[axis]!) return;
      to += o * y.stride[axis]!;
    }
    const from = i * w.batchStride + a * w.stride[0] + b * w.stride[1] + c * w.stride[2];
    for (let o = 0; o < p.outputs; o++) {
      const index = to + o * y.channelStride;
      sums[index] = sums[index]! + value * ws[from + o * w.channelStride]!;
    }
  });
}

function evalConvTranspose(
  ins: readonly Tensor[],
  attrs: ConvTransposeAttrs,
  outs: readonly TensorType[],
): readonly Tensor[] {
  const [x, w, bias] = ins as [Tensor, Tensor, Tensor?];
  const p = planOf(x.type.shape, w.type.shape, outs[0]!.shape, attrs);
  const xs = numbersOf(x);
  const ws = numbersOf(w);
  const out = zeros(outs[0]!);
  const sums = new Float64Array(out.data.length);
  for (let n = 0; n < p.x.batch; n++) {
    for (let i = 0; i < p.x.channels; i++) {
      const group = Math.floor(i / p.inputs);
      const base = n * p.y.batchStride + group * p.outputs * p.y.channelStride;
      const from = n * p.x.batchStride + i * p.x.channelStride;
      forEachPosition(p.x.size, (d, h, v) => {
        const at = from + d * p.x.stride[0] + h * p.x.stride[1] + v * p.x.stride[2];
        scatter(p, sums, ws, xs[at]!, i, base, [d, h, v]);
      });
    }
  }
  const finish = finisher(
    { x, w, bias },
    attrs.act === undefined ? {} : { act: attrs.act },
    outs[0]!,
  );
  const write = numberWriter(out);
  sums.forEach((sum, at) => {
    write(at, finish(sum, Math.floor(at / p.y.channelStride) % p.y.channels, at));
  });
  return [out];
}

/** Loops over the taps and input positions that reach output position `at`. */
function eachSource(
  k: KernelBuilder,
  { window, x }: Plan,
  at: readonly Expr[],
  body: (tap: readonly Expr[], position: readonly Expr[]) => void,
): void {
  const nest = (axis: number, tap: readonly Expr[], position: readonly Expr[]): void => {
    if (axis === 3) {
      body(tap, position);
      return;
    }
    const stride = window.stride[axis]!;
    const origin = k.let("origin", add(at[axis]!, window.pad[axis]!));
    k.for("tap", 0, window.kernel[axis]!, (t) => {
      const reach = k.let("reach", sub(origin, binary("mul", t, window.dilation[axis]!)));
      const p = stride === 1 ? reach : k.let("p", binary("div", reach, stride));
      const inside = binary("and", binary("ge", reach, 0), binary("lt", p, x.size[axis]!));
      const hit =
        stride === 1
          ? inside
          : binary("and", inside, binary("eq", binary("mul", p, stride), reach));
      k.if(hit, () => nest(axis + 1, [...tap, t], [...position, p]));
    });
  };
  nest(0, [], []);
}

function lowerConvTranspose(
  ins: readonly TensorType[],
  attrs: ConvTransposeAttrs,
  outs: readonly TensorType[],
): Kernel {
  const k = new KernelBuilder("conv_transpose");
  const real = ins[0]!.quant === undefined ? realTypeOf(ins[0]!.dtype) : "f32";
  const ports = declarePorts(k, ins, outs, real);
  const [x, w, bias] = ports.ins;
  const p = planOf(ins[0]!.shape, ins[1]!.shape, outs[0]!.shape, attrs);
  const groups = { ...p.y, channels: attrs.groups };
  forEachOutput(k, groups, attrs.layout === "nhwc", (n, group, at) => {
    k.forParallel("o", 0, p.outputs, (o) => {
      const channel = k.let("channel", affine([group, p.outputs], o));
      const sum = k.reg("sum", constant(real, 0));
      const base = k.let("base", affine([n, p.x.batchStride]));
      eachSource(k, p, at, (tap, position) => {
        const xAt = k.let("xAt", affine(base, spatialOffset(position, p.x)));
        const wAt = k.let("wAt", affine([o, p.w.channelStride], spatialOffset(tap, p.w)));
        k.for("i", 0, p.inputs, (i) => {
          const input = k.let("input", affine([group, p.inputs], i));
          const a = x!.read(affine(xAt, [input, p.x.channelStride]));
          const b = w!.read(affine(wAt, [input, p.w.batchStride]));
          k.set(sum, fma(a, b, sum));
        });
      });
      const total = k.let("sum", bias === undefined ? sum : add(sum, bias.read(channel)));
      const value = attrs.act === undefined ? total : SCALARS[attrs.act.fn]!.expr(total, attrs.act);
      const index = affine(
        [n, p.y.batchStride],
        [channel, p.y.channelStride],
        spatialOffset(at, p.y),
      );
      ports.outs[0]!.write(index, k.let("y", value));
    });
  });
  return k.build();
}

const plain: ConvTransposeAttrs = {
  layout: "nchw",
  stride: [1, 1],
  padBegin: [0, 0],
  padEnd: [0, 0],
  dilation: [1, 1],
  groups: 1,
  outputPad: [0, 0],
};
const samples: readonly Sample<ConvTransposeAttrs>[] = [
  { ins: [f32t(2, 3, 3, 4), f32t(3, 2, 3, 2), f32t(2)], attrs: plain },
  {
    ins: [f32t(1, 3, 4, 3), f32t(3, 3, 2, 5), f32t(5)],
    attrs: {
      ...plain,
      layout: "nhwc",
      stride: [2, 3],
      padBegin: [1, 0],
      padEnd: [0, 1],
      outputPad: [1, 0],
      act: { fn: "relu" },
    },
  },
  {
    ins: [f32t(1, 4, 3, 3), f32t(4, 2, 2, 2)],
    attrs: { ...plain, groups: 2, dilation: [2, 1], stride: [1, 2], padBegin: [-1, 1] },
  },
  {
    ins: [f32t(1, 2, 5), f32t(2, 3, 3)],
    attrs: {
      layout: "nchw",
      stride: [2],
      padBegin: [1],
      padEnd: [1],
      dilation: [1],
      groups: 1,
      outputPad: [1],
    },
  },
  ...(["f64", "f16", "bf16"] as const).map((dtype) => ({
    ins: [typed(dtype, 1, 2, 3, 3), typed(dtype, 2, 2, 2, 2), typed(dtype, 2)],
    attrs: { ...plain, stride: [2, 2] },
  })),
  {
    ins: [quantised("i8", [1, 3, 3, 2], 0.05, 2), perChannel("i8", [2, 2, 2, 3], 3, 0.01)],
    attrs: { ...plain, layout: "nhwc", stride: [2, 2], out: outQuant("i8", 0.1, 1) },
  },
];

/** Channels, where groups do not divide them. */
function channelTies(ins: readonly TensorType[], attrs: ConvTransposeAttrs): AxisTies {
  const [x, w] = ins as [TensorType, TensorType];
  const c = channelAxis(attrs.layout, x.shape.length);
  const rows = sameIndex(x.shape[0]!, [0, 0], [resultPort(0), 0]);
  if (attrs.groups > 1) return { all: [rows] };
  const bias = ins.length > 2 ? [[2, 0] as const] : [];
  const outputs = sameIndex(w.shape[c]!, [1, c], ...bias, [resultPort(0), c]);
  return { all: [rows, sameIndex(w.shape[0]!, [0, c], [1, 0]), outputs] };
}

export const convTranspose = defineOp<ConvTransposeAttrs>({
  name: "conv_transpose",
  parameters: [1, 2],
  quant: "float",
  infer: inferConvTranspose,
  contracts: true,
  ties: channelTies,
  eval: evalConvTranspose,
  cost: (ins, attrs) => {
    const [x, w] = [ins[0]!.shape, ins[1]!.shape];
    return { macs: x[0]! * product(spatialOf(attrs.layout, x)) * product(w) };
  },
  lower: lowerConvTranspose,
  permute: (attrs, perm) =>
    permuteWindow(attrs, perm, ["stride", "padBegin", "padEnd", "dilation", "outputPad"]),
  fuses: { act: true },
  samples,
});
