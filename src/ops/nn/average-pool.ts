/**
 * @file Mean over a sliding window; of bytes to bytes by integer arithmetic (pool-mean.ts). Source:
 * ONNX AveragePool; TensorFlow Lite AVERAGE_POOL_2D.
 */
import { type Arith, defineOp, type OutQuant, type Sample } from "../../graph/op.ts";
import { add, affine, binary, cast, i32, KernelBuilder, sub } from "../../kernel/build.ts";
import type { Expr, Kernel } from "../../kernel/ir.ts";
import { dequantizeTensor, quantizeTensor } from "../../tensor/quant.ts";
import {
  numberWriter,
  sameQuant,
  type Tensor,
  type TensorType,
  tensorType,
  zeros,
} from "../../tensor/tensor.ts";
import { UserError } from "../../util/errors.ts";
import { declare } from "../lowering.ts";
import { checkFloat, declarePorts, numbersOf, realTypeOf } from "./access.ts";
import {
  forEachPooled,
  type PoolAttrs,
  type PoolPlan,
  permutePool,
  poolAxes,
  poolPlan,
  poolShape,
} from "./pool.ts";
import { poolMean } from "./pool-mean.ts";
import { f32t, outQuant, quantised, typed } from "./samples.ts";
import type { Triple } from "./spatial.ts";
import {
  forEachOutput,
  forEachTap,
  type PlacedWindow,
  placeWindow,
  spatialOffset,
} from "./window.ts";

export interface AveragePoolAttrs extends PoolAttrs {
  /** Padding counts as elements of value 0; elements beyond the padding never count. */
  readonly countIncludePad?: boolean;
  readonly out?: OutQuant;
  /** "tflite": the result has the parameters of the input. */
  readonly arith?: Arith;
}

function inferAveragePool(
  ins: readonly TensorType[],
  attrs: AveragePoolAttrs,
): readonly TensorType[] {
  const shape = poolShape(ins, attrs);
  const [x] = ins as [TensorType];
  const { out, arith } = attrs;
  if (x.quant === undefined) {
    checkFloat(x);
    return [tensorType(x.dtype, shape)];
  }
  const { quant, dtype } = x;
  if (arith === "tflite") {
    const same = out === undefined || (out.dtype === dtype && sameQuant(quant, outParams(out)));
    if (!same || quant.axis !== null || (dtype !== "i8" && dtype !== "u8")) {
      throw new UserError(
        "E_DTYPE",
        "arith 'tflite' takes i8 or u8 quantised per tensor and keeps the parameters",
      );
    }
    if (attrs.countIncludePad) {
      throw new UserError("E_MODEL", "countIncludePad is not defined for arith 'tflite'");
    }
    return [tensorType(dtype, shape, quant)];
  }
  if (out === undefined) return [tensorType("f32", shape)];
  return [tensorType(out.dtype, shape, outParams(out))];
}

const outParams = ({ scale, zeroPoint, axis }: OutQuant) => ({ scale, zeroPoint, axis });

/** Elements a window counts when padding is included: those not beyond the end padding. */
function paddedCount(attrs: AveragePoolAttrs, plan: PoolPlan, at: Triple): number {
  const spans = endSpans(attrs, plan);
  return [0, 1, 2].reduce((count, i) => {
    const { kernel, stride, dilation } = plan.window;
    const room = Math.ceil((spans[i]! - at[i]! * stride[i]!) / dilation[i]!);
    return count * Math.min(kernel[i]!, room);
  }, 1);
}

/** Size of each axis with its padding. */
function endSpans(attrs: AveragePoolAttrs, plan: PoolPlan): number[] {
  const end = [...new Array<number>(3 - attrs.padEnd.length).fill(0), ...attrs.padEnd];
  return plan.x.size.map((n, i) => n + plan.window.pad[i]! + end[i]!);
}

function evalAveragePool(
  ins: readonly Tensor[],
  attrs: AveragePoolAttrs,
  outs: readonly TensorType[],
): readonly Tensor[] {
  const [given] = ins as [Tensor];
  const type = outs[0]!;
  const mean = poolMean(given.type, type, attrs.arith);
  const x = mean !== null ? given : dequantizeTensor(given);
  const out = zeros(
    mean !== null || type.quant === undefined ? type : tensorType("f32", type.shape),
  );
  const write = numberWriter(out);
  const values = numbersOf(x);
  const plan = poolPlan(x.type, type, attrs);
  forEachPooled(plan, (at, base, d, h, w) => {
    let sum = 0;
    let count = 0;
    forEachTap(plan.window, plan.x, [d, h, w], (_, offset) => {
      sum += values[base + offset]!;
      count++;
    });
    const all = attrs.countIncludePad ? paddedCount(attrs, plan, [d, h, w]) : count;
    write(at, mean === null ? sum / all : mean.js(sum, count, all));
  });
  if (mean !== null || type.quant === undefined) return [out];
  return [quantizeTensor(out, type.dtype, type.quant)];
}

/** paddedCount as an expression. */
function paddedCountExpr(attrs: AveragePoolAttrs, plan: PoolPlan, at: readonly Expr[]): Expr {
  const { kernel, stride, dilation } = plan.window;
  const spans = endSpans(attrs, plan);
  return [0, 1, 2].reduce<Expr>((count, i) => {
    const last = (plan.y.size[i]! - 1) * stride[i]! + (kernel[i]! - 1) * dilation[i]!;
    if (last < spans[i]!) return binary("mul", count, kernel[i]!);
    const left = add(sub(spans[i]!, binary("mul", at[i]!, stride[i]!)), dilation[i]! - 1);
    const room = dilation[i] === 1 ? left : binary("div", left, dilation[i]!);
    return binary("mul", count, binary("min", i32(kernel[i]!), room));
  }, i32(1));
}

/** What the sum at an output position is divided by, an i32. */
export const divisorOf = (
  attrs: AveragePoolAttrs,
  plan: PoolPlan,
  window: PlacedWindow,
  at: readonly Expr[],
): Expr => (attrs.countIncludePad ? paddedCountExpr(attrs, plan, at) : window.count);

function lowerAveragePool(
  ins: readonly TensorType[],
  attrs: AveragePoolAttrs,
  outs: readonly TensorType[],
): Kernel {
  const [xType, yType] = [ins[0]!, outs[0]!];
  const k = new KernelBuilder("average_pool");
  const plan = poolPlan(xType, yType, attrs);
  const { x, y, window } = plan;
  const nest = (
    body: (base: Expr, place: PlacedWindow, index: Expr, at: readonly Expr[]) => void,
  ): void =>
    forEachOutput(k, y, attrs.layout === "nhwc", (n, c, at) => {
      const base = k.let("x", affine([n, x.batchStride], [c, x.channelStride]));
      const index = affine([n, y.batchStride], [c, y.channelStride], spatialOffset(at, y));
      body(base, placeWindow(k, window, x.size, y.size, at), k.let("at", index), at);
    });
  const mean = poolMean(xType, yType, attrs.arith);
  if (mean !== null) {
    const buffers = declare(k, ins, outs);
    nest((base, place, index, at) => {
      const sum = k.reg("sum", 0);
      place.each((_, p) => {
        k.set(sum, add(sum, k.load(buffers.ins[0]!, affine(base, spatialOffset(p, x)))));
      });
      const finish = mean.prepare(k, place.count, divisorOf(attrs, plan, place, at));
      k.store(buffers.outs[0]!, index, finish(k.let("total", sum)));
    });
    return k.build();
  }
  const real = xType.quant === undefined ? realTypeOf(xType.dtype) : "f32";
  const ports = declarePorts(k, ins, outs, real);
  nest((base, place, index, at) => {
    const sum = k.reg("sum", { kind: "const", type: real, value: 0 });
    place.each((_, p) =>
      k.set(sum, add(sum, ports.ins[0]!.read(affine(base, spatialOffset(p, x))))),
    );
    const count = divisorOf(attrs, plan, place, at);
    ports.outs[0]!.write(index, binary("div", sum, cast(real, "convert_s", count)));
  });
  return k.build();
}

const square = { kernel: [2, 2], stride: [2, 2], padBegin: [0, 0], padEnd: [0, 0] };
const padded = { kernel: [3, 2], stride: [2, 2], padBegin: [1, 1], padEnd: [1, 0] };
const samples: readonly Sample<AveragePoolAttrs>[] = [
  { ins: [f32t(2, 3, 6, 5)], attrs: { layout: "nchw", ...square } },
  { ins: [f32t(1, 6, 5, 3)], attrs: { layout: "nhwc", ...padded } },
  {
    ins: [f32t(1, 2, 6, 6)],
    attrs: { layout: "nchw", ...padded, countIncludePad: true, ceil: true },
  },
  {
    ins: [f32t(1, 2, 9)],
    attrs: {
      layout: "nchw",
      kernel: [3],
      stride: [2],
      padBegin: [1],
      padEnd: [1],
      dilation: [2],
      countIncludePad: true,
      ceil: true,
    },
  },
  { ins: [typed("f64", 1, 6, 5, 3)], attrs: { layout: "nhwc", ...padded } },
  { ins: [typed("f16", 1, 6, 5, 3)], attrs: { layout: "nhwc", ...padded } },
  { ins: [typed("bf16", 1, 3, 6, 5)], attrs: { layout: "nchw", ...padded } },
  {
    ins: [quantised("i8", [1, 6, 5, 3], 0.1, 4)],
    attrs: { layout: "nhwc", ...padded, arith: "tflite" },
    tolerance: 0,
  },
  {
    ins: [quantised("u8", [1, 3, 6, 5], 0.1, 4)],
    attrs: { layout: "nchw", ...padded, out: outQuant("u8", 0.08, 10) },
    tolerance: 0,
  },
  {
    ins: [quantised("i8", [1, 6, 5, 21], 0.1, 4)],
    attrs: {
      layout: "nhwc",
      ...padded,
      ceil: true,
      countIncludePad: true,
      out: outQuant("i8", 0.07, 3),
    },
    tolerance: 0,
  },
  { ins: [quantised("u8", [1, 3, 6, 5], 0.1, 4)], attrs: { layout: "nchw", ...square } },
];

export const averagePool = defineOp<AveragePoolAttrs>({
  name: "average_pool",
  quant: "integer",
  infer: inferAveragePool,
  axes: poolAxes,
  eval: evalAveragePool,
  lower: lowerAveragePool,
  permute: permutePool,
  samples,
});
