/**
 * @file A transposed convolution as a convolution, for which there are fast kernels: with stride 1 by the reversed
 * filter; with stride s by s * s filters of every s-th tap, whose results are interleaved. Weights are moved by
 * operators, so that it also holds for weights that are not constant (gradients with respect to inputs).
 */
import { type GraphBuilder, isOp, type Node, type Value } from "../graph/graph.ts";
import { type NodeRule, rewrite } from "../graph/rewrite.ts";
import { conv } from "../ops/nn/conv.ts";
import { type ConvTransposeAttrs, convTranspose } from "../ops/nn/conv-transpose.ts";
import { depthToSpace } from "../ops/shape/depth-space.ts";
import { expand } from "../ops/shape/expand.ts";
import { pad } from "../ops/shape/pad.ts";
import { reshape } from "../ops/shape/reshape.ts";
import { slice } from "../ops/shape/slice.ts";
import { transpose } from "../ops/shape/transpose.ts";
import { isReal } from "../tensor/tensor.ts";
import { ceilDiv } from "../util/math.ts";
import { definePass } from "./pass.ts";

/** One spatial axis: results lie at u = o + padBegin = stride * a + r, of which a runs from `first`. */
interface Axis {
  readonly stride: number;
  /** Taps of each of the `stride` filters. */
  readonly taps: number;
  readonly first: number;
  /** Values of a. */
  readonly count: number;
  readonly padBegin: number;
  readonly padEnd: number;
  /** Where the result starts among the interleaved ones, and its size. */
  readonly start: number;
  readonly size: number;
}

/** The axis, or null when the convolution would need to crop its input. */
function axisOf(
  attrs: ConvTransposeAttrs,
  i: number,
  k: number,
  size: number,
  out: number,
): Axis | null {
  const stride = attrs.stride[i]!;
  const dilation = attrs.dilation[i]!;
  const before = attrs.padBegin[i]!;
  if (stride > 1 && dilation > 1) return null;
  const taps = ceilDiv(k, stride);
  const first = Math.floor(before / stride);
  const count = Math.floor((before + out - 1) / stride) - first + 1;
  const reach = (taps - 1) * dilation;
  const padBegin = reach - first;
  const padEnd = count - size - padBegin + reach;
  if (padBegin < 0 || padEnd < 0) return null;
  return {
    stride,
    taps,
    first,
    count,
    padBegin,
    padEnd,
    start: before - stride * first,
    size: out,
  };
}

/** Weights [I, kh, kw, O/g] as [(phases,) O (, phases), taps, taps, I/g], taps reversed. */
function moveWeights(
  b: GraphBuilder,
  w: Value,
  axes: readonly Axis[],
  groups: number,
  phasesFirst: boolean,
): Value {
  const shape = b.typeOf(w).shape;
  const outputs = shape.at(-1)!;
  const inputs = shape[0]! / groups;
  const full = [shape[0]!, ...axes.map((a) => a.taps * a.stride), outputs];
  let v = w;
  if (full.some((d, i) => d !== shape[i])) {
    const after = full.map((d, i) => d - shape[i]!);
    v = b.apply(pad, [v], { before: full.map(() => 0), after, mode: "constant" });
  }
  // [g, i, (taps, stride) of each axis, o], every tap axis reversed.
  const split = [groups, inputs, ...axes.flatMap((a) => [a.taps, a.stride]), outputs];
  v = b.apply(reshape, [v], { shape: split });
  const isTap = split.map((_, i) => i >= 2 && i < split.length - 1 && i % 2 === 0);
  if (axes.some((a) => a.taps > 1)) {
    v = b.apply(slice, [v], {
      start: split.map((d, i) => (isTap[i] ? d - 1 : 0)),
      size: split,
      step: split.map((_, i) => (isTap[i] ? -1 : 1)),
    });
  }
  const tapAxes = axes.map((_, i) => 2 + 2 * i);
  const phaseAxes = axes.map((_, i) => 3 + 2 * i);
  const last = split.length - 1;
  const order = phasesFirst ? [...phaseAxes, 0, last] : [0, last, ...phaseAxes];
  v = b.apply(transpose, [v], { perm: [...order, ...tapAxes, 1] });
  const phases = axes.reduce((n, a) => n * a.stride, 1);
  const taps = axes.map((a) => a.taps);
  return b.apply(reshape, [v], { shape: [phases * groups * outputs, ...taps, inputs] });
}

/** The bias of each output channel for every phase. */
function moveBias(b: GraphBuilder, bias: Value, phases: number, phasesFirst: boolean): Value {
  const n = b.typeOf(bias).shape[0]!;
  if (phases === 1) return bias;
  const column = b.apply(reshape, [bias], { shape: phasesFirst ? [1, n] : [n, 1] });
  const wide = b.apply(expand, [column], { shape: phasesFirst ? [phases, n] : [n, phases] });
  return b.apply(reshape, [wide], { shape: [phases * n] });
}

const convert: NodeRule = (node: Node, ctx) => {
  if (!isOp(node, convTranspose)) return null;
  const { layout, groups, stride, dilation, act, out } = node.attrs;
  const [x, w, bias] = node.ins as [Value, Value, Value?];
  const kernel = ctx.typeOf(w).shape.slice(1, -1);
  const strided = stride.some((s) => s > 1);
  const even = kernel.length === 2 && stride[0] === stride[1];
  if (layout !== "nhwc" || kernel.length > 2 || (strided && !even) || out !== undefined)
    return null;
  if (!isReal(ctx.typeOf(x))) return null;
  const sizes = ctx.typeOf(x).shape.slice(1, -1);
  const results = ctx.typeOf(node.outs[0]!).shape;
  const found = kernel.map((k, i) => axisOf(node.attrs, i, k, sizes[i]!, results[i + 1]!));
  if (found.some((a) => a === null)) return null;
  const axes = found as Axis[];
  const b = ctx.builder;
  // Without groups whole pixels stay together when the phases come first.
  const phasesFirst = groups === 1;
  const phases = axes.reduce((n, a) => n * a.stride, 1);
  const ins = [ctx.value(x), moveWeights(b, ctx.value(w), axes, groups, phasesFirst)];
  if (bias !== undefined) ins.push(moveBias(b, ctx.value(bias), phases, phasesFirst));
  const attrs = {
    layout,
    stride: axes.map(() => 1),
    padBegin: axes.map((a) => a.padBegin),
    padEnd: axes.map((a) => a.padEnd),
    dilation: strided ? axes.map(() => 1) : dilation,
    groups,
    ...(act && { act }),
  };
  const y = b.apply(conv, ins, attrs, node.name);
  if (!strided) return [y];
  const mode = phasesFirst ? "dcr" : "crd";
  const wide = b.apply(depthToSpace, [y], { block: stride[0]!, mode, layout }, node.name);
  const { shape } = b.typeOf(wide);
  if (axes.every((a, i) => a.start === 0 && a.size === shape[i + 1])) return [wide];
  return [
    b.apply(
      slice,
      [wide],
      {
        start: [0, ...axes.map((a) => a.start), 0],
        size: results,
        step: results.map(() => 1),
      },
      node.name,
    ),
  ];
};

export const convTransposeToConv = definePass({
  name: "conv-transpose-to-conv",
  doc: "Transposed convolutions (NHWC) become convolutions with reversed filters, strided ones interleaved.",
  run: (graph) => rewrite(graph, convert),
});
