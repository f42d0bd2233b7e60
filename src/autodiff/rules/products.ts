/** @file Derivatives of convolutions and matrix products. */
import type { Value } from "../../graph/graph.ts";
import { nnOps as n } from "../../ops/nn/index.ts";
import { channelAxis, spatialOf } from "../../ops/nn/spatial.ts";
import { shapeOps } from "../../ops/shape/index.ts";
import { product } from "../../util/math.ts";
import { Calc } from "../calc.ts";
import { defineSingle, type VjpRule } from "../rule.ts";

type Layout = "nchw" | "nhwc";

/** Sums over everything but the channels. */
function sumToChannels(c: Calc, v: Value, layout: Layout): Value {
  const { length } = c.shape(v);
  const channel = channelAxis(layout, length);
  return c.sum(
    v,
    Array.from({ length }, (_, i) => i).filter((i) => i !== channel),
  );
}

const conv = defineSingle(n.conv, (ct, b) => {
  const c = new Calc(b.g);
  const [x, w] = b.ins as [Value, Value];
  const { layout, stride, padBegin, padEnd, dilation, groups } = b.attrs;
  const kernel = spatialOf(layout, c.shape(w));
  const sizes = spatialOf(layout, c.shape(x));
  const positions = spatialOf(layout, c.shape(ct));
  // What a stride leaves over at the end of the input.
  const outputPad = sizes.map((size, i) => {
    const reach = (positions[i]! - 1) * stride[i]! + (kernel[i]! - 1) * dilation[i]! + 1;
    return size + padBegin[i]! + padEnd[i]! - reach;
  });
  const shared = { layout, stride, padBegin, padEnd, dilation, groups };
  return [
    b.wants(0) ? b.g.apply(n.conv_transpose, [ct, w], { ...shared, outputPad }) : null,
    b.wants(1) ? b.g.apply(n.conv_backward_weights, [x, ct], { ...shared, kernel }) : null,
    b.wants(2) ? sumToChannels(c, ct, layout) : null,
  ];
});

const convTranspose = defineSingle(n.conv_transpose, (ct, b) => {
  const c = new Calc(b.g);
  const [x, w] = b.ins as [Value, Value];
  const { layout, stride, dilation, groups } = b.attrs;
  const kernel = spatialOf(layout, c.shape(w));
  // The cotangent is cut or padded to what the windows reach, so that the convolution has no padding.
  const spatialAxes = spatialOf(layout, c.shape(ct).map((_, i) => i)); // biome-ignore format: one statement
  const before = c.shape(ct).map(() => 0);
  const after = c.shape(ct).map(() => 0);
  spatialAxes.forEach((axis, i) => {
    before[axis] = b.attrs.padBegin[i]!;
    after[axis] = b.attrs.padEnd[i]! - b.attrs.outputPad[i]!;
  });
  const even = [...before, ...after].every((p) => p === 0);
  const wide = even
    ? ct
    : b.g.apply(shapeOps.pad, [ct], { before, after, mode: "constant" as const });
  const none = kernel.map(() => 0);
  const shared = { layout, stride, padBegin: none, padEnd: none, dilation, groups };
  return [
    b.wants(0) ? b.g.apply(n.conv, [wide, w], shared) : null,
    b.wants(1) ? b.g.apply(n.conv_backward_weights, [wide, x], { ...shared, kernel }) : null,
    b.wants(2) ? sumToChannels(c, ct, layout) : null,
  ];
});

const linear = defineSingle(n.linear, (ct, b) => {
  const c = new Calc(b.g);
  const [x, w] = b.ins as [Value, Value];
  const [outputs, depth] = c.shape(w) as [number, number];
  const rows = (v: Value, width: number): Value =>
    c.reshape(v, [product(c.shape(v)) / width, width]);
  const dy = rows(ct, outputs);
  const dx = (): Value => c.reshape(b.g.apply(n.matmul, [dy, w]), c.shape(x));
  return [
    b.wants(0) ? dx() : null,
    b.wants(1) ? b.g.apply(n.matmul, [dy, rows(x, depth)], { transA: true }) : null,
    b.wants(2) ? c.sum(dy, [0]) : null,
  ];
});

const matmul = defineSingle(n.matmul, (ct, b) => {
  const c = new Calc(b.g);
  const [x, y] = b.ins as [Value, Value];
  const { transA = false, transB = false } = b.attrs;
  const times = (p: Value, q: Value, tp: boolean, tq: boolean): Value =>
    b.g.apply(n.matmul, [p, q], { transA: tp, transB: tq });
  const forX = (): Value => (transA ? times(y, ct, transB, true) : times(ct, y, false, !transB));
  const forY = (): Value => (transB ? times(ct, x, true, transA) : times(x, ct, !transA, false));
  return [
    b.wants(0) ? c.unbroadcast(forX(), c.shape(x)) : null,
    b.wants(1) ? c.unbroadcast(forY(), c.shape(y)) : null,
  ];
});

/** The two are each other's adjoints. */
const hashedWeights = defineSingle(n.hashed_weights, (ct, b) => {
  const count = b.type(b.ins[0]!).shape[0]!;
  return [b.g.apply(n.hashed_gradient, [ct], { count, seed: b.attrs.seed })];
});

const hashedGradient = defineSingle(n.hashed_gradient, (ct, b) => {
  const { shape } = b.type(b.ins[0]!);
  return [b.g.apply(n.hashed_weights, [ct], { shape, seed: b.attrs.seed })];
});

export const productRules: readonly VjpRule[] = [
  conv,
  convTranspose,
  linear,
  matmul,
  hashedWeights,
  hashedGradient,
];
