/** @file The p-norm of each window: (sum |x|^p)^(1/p). Source: ONNX LpPool. */
import { defineOp, type OutQuant, type Sample } from "../../graph/op.ts";
import { add, affine, call, constant, KernelBuilder, mul, unary } from "../../kernel/build.ts";
import type { Expr, Kernel } from "../../kernel/ir.ts";
import {
  numberWriter,
  type Tensor,
  type TensorType,
  tensorType,
  zeros,
} from "../../tensor/tensor.ts";
import { UserError } from "../../util/errors.ts";
import { checkFloat, declarePorts, numbersOf, realTypeOf } from "./access.ts";
import {
  forEachPooled,
  type PoolAttrs,
  permutePool,
  poolAxes,
  poolPlan,
  poolShape,
} from "./pool.ts";
import { f32t, typed } from "./samples.ts";
import { forEachOutput, forEachTap, placeWindow, spatialOffset } from "./window.ts";

export interface LpPoolAttrs extends PoolAttrs {
  /** The exponent, at least 1. */
  readonly p: number;
  readonly out?: OutQuant;
}

function inferLpPool(ins: readonly TensorType[], attrs: LpPoolAttrs): readonly TensorType[] {
  const shape = poolShape(ins, attrs);
  checkFloat(...ins);
  if (!(attrs.p >= 1)) throw new UserError("E_MODEL", `p must be at least 1, got ${attrs.p}`);
  return [tensorType(ins[0]!.dtype, shape)];
}

function evalLpPool(
  ins: readonly Tensor[],
  attrs: LpPoolAttrs,
  outs: readonly TensorType[],
): readonly Tensor[] {
  const out = zeros(outs[0]!);
  const write = numberWriter(out);
  const values = numbersOf(ins[0]!);
  const plan = poolPlan(ins[0]!.type, outs[0]!, attrs);
  forEachPooled(plan, (at, base, d, h, w) => {
    let sum = 0;
    forEachTap(plan.window, plan.x, [d, h, w], (_, offset) => {
      sum += Math.abs(values[base + offset]!) ** attrs.p;
    });
    write(at, attrs.p === 2 ? Math.sqrt(sum) : sum ** (1 / attrs.p));
  });
  return [out];
}

function power(k: KernelBuilder, x: Expr, p: number): Expr {
  if (p === 2) return mul(x, x);
  const size = unary("abs", x);
  return p === 1 ? size : call("pow", k.let("size", size), constant(x.type, p));
}

function root(x: Expr, p: number): Expr {
  if (p === 2) return unary("sqrt", x);
  return p === 1 ? x : call("pow", x, constant(x.type, 1 / p));
}

function lowerLpPool(
  ins: readonly TensorType[],
  attrs: LpPoolAttrs,
  outs: readonly TensorType[],
): Kernel {
  const k = new KernelBuilder("lp_pool");
  const real = realTypeOf(outs[0]!.dtype);
  const ports = declarePorts(k, ins, outs, real);
  const { x, y, window } = poolPlan(ins[0]!, outs[0]!, attrs);
  forEachOutput(k, y, attrs.layout === "nhwc", (n, c, at) => {
    const base = k.let("x", affine([n, x.batchStride], [c, x.channelStride]));
    const sum = k.reg("sum", constant(real, 0));
    placeWindow(k, window, x.size, y.size, at).each((_, p) => {
      const v = k.let("v", ports.ins[0]!.read(affine(base, spatialOffset(p, x))));
      k.set(sum, add(sum, power(k, v, attrs.p)));
    });
    const index = affine([n, y.batchStride], [c, y.channelStride], spatialOffset(at, y));
    ports.outs[0]!.write(index, k.let("y", root(sum, attrs.p)));
  });
  return k.build();
}

const window = { kernel: [3, 2], stride: [2, 1], padBegin: [1, 0], padEnd: [1, 1] };
const samples: readonly Sample<LpPoolAttrs>[] = [
  { ins: [f32t(2, 3, 5, 4)], attrs: { layout: "nchw", ...window, p: 2 } },
  { ins: [f32t(1, 5, 4, 3)], attrs: { layout: "nhwc", ...window, p: 1 } },
  { ins: [f32t(1, 5, 4, 3)], attrs: { layout: "nhwc", ...window, p: 3, ceil: true } },
  ...(["f64", "f16", "bf16"] as const).map((dtype) => ({
    ins: [typed(dtype, 1, 2, 5, 4)],
    attrs: { layout: "nchw" as const, ...window, p: 2 },
  })),
];

export const lpPool = defineOp<LpPoolAttrs>({
  name: "lp_pool",
  quant: "float",
  infer: inferLpPool,
  axes: poolAxes,
  eval: evalLpPool,
  lower: lowerLpPool,
  permute: permutePool,
  samples,
});
