/** @file Derivatives of pools and of resizing. */
import { elementwiseOps as e } from "../../ops/elementwise/index.ts";
import type { AveragePoolAttrs } from "../../ops/nn/average-pool.ts";
import { nnOps as n } from "../../ops/nn/index.ts";
import type { ResizeAttrs } from "../../ops/nn/resize-attrs.ts";
import { channelAxis, spatialOf } from "../../ops/nn/spatial.ts";
import type { DType } from "../../tensor/dtype.ts";
import { type Shape, type Tensor, tensorOf, tensorType, toNumbers } from "../../tensor/tensor.ts";
import { product } from "../../util/math.ts";
import { Calc } from "../calc.ts";
import { type Backward, defineSingle, type VjpRule } from "../rule.ts";

/** The number of elements each window of an average divides by, as a map of one channel. */
function divisors(b: Backward<AveragePoolAttrs>): Tensor {
  const { layout } = b.attrs;
  const shape = b.type(b.ins[0]!).shape;
  const rank = shape.length;
  const one = shape.map((d, i) => (i === 0 || i === channelAxis(layout, rank) ? 1 : d));
  const ones = tensorOf("f64", one, new Array<number>(product(one)).fill(1));
  // With padding counted, an average of ones is below one at the border: count = taps inside / average.
  const attrs = { ...b.attrs };
  const [type] = n.average_pool.infer([ones.type], attrs);
  const average = toNumbers(n.average_pool.eval!([ones], attrs, [type!])[0]!);
  const inside = insideCounts(ones, attrs, type!.shape);
  const { dtype } = b.type(b.ins[0]!);
  return tensorOf(
    dtype,
    type!.shape,
    average.map((a, i) => (a === 0 ? 1 : inside[i]! / a)),
  );
}

/** Elements inside each window: a convolution of ones with ones. */
function insideCounts(ones: Tensor, attrs: AveragePoolAttrs, shape: Shape): number[] {
  const { layout, kernel, stride, padBegin, dilation = kernel.map(() => 1) } = attrs;
  const weights = layout === "nchw" ? [1, 1, ...kernel] : [1, ...kernel, 1];
  const filter = tensorOf("f64", weights, new Array<number>(product(weights)).fill(1));
  const sizes = spatialOf(layout, ones.type.shape);
  const padEnd = spatialOf(layout, shape).map((d, i) => {
    const reach = (d - 1) * stride[i]! + (kernel[i]! - 1) * dilation[i]! + 1;
    return Math.max(0, reach - sizes[i]! - padBegin[i]!);
  });
  const a = { layout, stride, padBegin, padEnd, dilation, groups: 1 };
  const type = tensorType("f64", shape);
  return toNumbers(n.conv.eval!([ones, filter], a, [type])[0]!);
}

const averagePool = defineSingle(n.average_pool, (ct, b) => {
  const c = new Calc(b.g);
  const x = b.ins[0]!;
  const { layout, kernel, stride, padBegin, dilation = kernel.map(() => 1) } = b.attrs;
  const channels = c.shape(x)[channelAxis(layout, c.shape(x).length)]!;
  const shape = layout === "nchw" ? [channels, 1, ...kernel] : [channels, ...kernel, 1];
  const { dtype } = b.type(x);
  const ones = b.g.constant(tensorOf(dtype, shape, new Array<number>(product(shape)).fill(1)));
  const share = c.div(ct, b.g.constant(divisors(b)));
  const sizes = spatialOf(layout, c.shape(x));
  const gap = spatialOf(layout, c.shape(ct)).map((d, i) => {
    const reach = (d - 1) * stride[i]! + (kernel[i]! - 1) * dilation[i]! + 1;
    return sizes[i]! + padBegin[i]! - reach;
  });
  const attrs = {
    layout,
    stride,
    padBegin,
    padEnd: gap.map((v) => Math.max(0, -v)),
    outputPad: gap.map((v) => Math.max(0, v)),
    dilation,
    groups: channels,
  };
  return [b.g.apply(n.conv_transpose, [share, ones], attrs)];
});

const lpPool = defineSingle(n.lp_pool, (_, b) => {
  const c = new Calc(b.g);
  const x = b.ins[0]!;
  const { p, ...pool } = b.attrs;
  return b.through(() => {
    const powered = c.g.apply(e.pow, [c.g.apply(e.abs, [x]), c.scalar(p, x)]);
    const { layout, kernel, stride, padBegin, padEnd, dilation = kernel.map(() => 1) } = pool;
    const channels = c.shape(x)[channelAxis(layout, c.shape(x).length)]!;
    const shape = layout === "nchw" ? [channels, 1, ...kernel] : [channels, ...kernel, 1];
    const { dtype } = b.type(x);
    const ones = c.g.constant(tensorOf(dtype, shape, new Array<number>(product(shape)).fill(1)));
    const wanted = spatialOf(layout, c.shape(b.outs[0]!));
    const sizes = spatialOf(layout, c.shape(x));
    const end = wanted.map((d, i) => {
      const reach = (d - 1) * stride[i]! + (kernel[i]! - 1) * dilation[i]! + 1;
      return Math.max(padEnd[i]!, reach - sizes[i]! - padBegin[i]!);
    });
    const attrs = { layout, stride, padBegin, padEnd: end, dilation, groups: channels };
    const sum = c.g.apply(n.conv, [powered, ones], attrs);
    return [c.g.apply(e.pow, [sum, c.scalar(1 / p, x)])];
  });
});

const maxPool = defineSingle(n.max_pool, (ct, b) => [
  b.g.apply(n.max_pool_backward, [b.ins[0]!, ct], b.attrs),
]);

/** How far each element of one axis of the input goes into each of the result: [from, to]. */
function axisMatrix(attrs: ResizeAttrs, axis: number, size: number, dtype: DType): Tensor {
  const { scales, roi } = attrs;
  const rank = attrs.size.length;
  const own: ResizeAttrs = {
    ...attrs,
    layout: "nhwc",
    size: [attrs.size[axis]!],
    ...(scales === undefined ? {} : { scales: [scales[axis]!] }),
    ...(roi === undefined ? {} : { roi: [roi[axis]!, roi[axis + rank]!] }),
    extrapolation: 0,
  };
  const eye = new Array<number>(size * size).fill(0).map((_, i) => (i % (size + 1) === 0 ? 1 : 0));
  const x = tensorOf(dtype, [size, size, 1], eye);
  const types = n.resize.infer([x.type], own);
  const [y] = n.resize.eval!([x], own, types);
  return tensorOf(dtype, [size, own.size[0]!], toNumbers(y!));
}

/** A resize is linear and works axis by axis. */
const resize = defineSingle(n.resize, (ct, b) => {
  const c = new Calc(b.g);
  const { shape, dtype } = b.type(b.ins[0]!);
  const axes = spatialOf(
    b.attrs.layout,
    shape.map((_, i) => i),
  );
  let v = ct;
  axes.forEach((axis, i) => {
    const m = b.g.constant(axisMatrix(b.attrs, i, shape[axis]!, dtype));
    const perm = shape.map((_, a) => a).filter((a) => a !== axis);
    perm.push(axis);
    const moved = b.g.apply(n.matmul, [c.transpose(v, perm), m], { transB: true });
    v = c.transpose(
      moved,
      perm.map((_, a) => perm.indexOf(a)),
    );
  });
  return [v];
});

export const poolRules: readonly VjpRule[] = [averagePool, maxPool, lpPool, resize];
