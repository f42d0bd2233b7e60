/** @file Blocks in the place of convolutions of a teacher, in its layout. */
import type { Geometry, Layer } from "../../compress/factorise/layer.ts";
import type { BlockType } from "../../compress/substitute/block.ts";
import type { Value } from "../../graph/graph.ts";
import type { Activation } from "../../graph/op.ts";
import type { RewriteContext } from "../../graph/rewrite.ts";
import { relu } from "../../ops/elementwise/relu.ts";
import { batchNorm } from "../../ops/nn/batch-norm.ts";
import { conv } from "../../ops/nn/conv.ts";
import { channelAxis } from "../../ops/nn/spatial.ts";
import { transpose } from "../../ops/shape/transpose.ts";
import { permuteTensor } from "../../passes/rules.ts";
import { tensorOf } from "../../tensor/tensor.ts";
import { product } from "../../util/math.ts";
import type { Rng } from "../../util/rng.ts";
import { type BlockLayer, blockLayers, layerNames } from "../models/blocks.ts";
import type { Pointwise, Site, Substitute } from "../structured/site.ts";
import { drawn } from "./fresh-weights.ts";

const EPSILON = 1e-5;

/** A run of layers that one block replaces. */
export interface Span {
  readonly layers: readonly Layer[];
  readonly type: BlockType;
}

/** Where a block is written. */
interface BlockSite {
  readonly ctx: RewriteContext;
  readonly span: Span;
  readonly first: Layer;
  readonly geometry: Geometry;
  readonly rng: Rng;
}

const vector = ({ ctx }: BlockSite, name: string, count: number, value: number): Value =>
  ctx.builder.constant(tensorOf("f32", [count], new Float32Array(count).fill(value)), name);

function channelsOf({ ctx, geometry }: BlockSite, v: Value): number {
  const { shape } = ctx.builder.typeOf(v);
  return shape[channelAxis(geometry.layout, shape.length)]!;
}

function writeNorm(site: BlockSite, x: Value, name: string): Value {
  const c = channelsOf(site, x);
  const ins = [
    x,
    vector(site, `${name}.gamma`, c, 1),
    vector(site, `${name}.beta`, c, 0),
    vector(site, `${name}.mean`, c, 0),
    vector(site, `${name}.variance`, c, 1),
  ];
  const attrs = { layout: site.geometry.layout, epsilon: EPSILON };
  return site.ctx.builder.apply(batchNorm, ins, attrs, name);
}

type ConvLayer = Extract<BlockLayer, { readonly outputs: number }>;

function writeConv(
  site: BlockSite,
  x: Value,
  layer: ConvLayer,
  name: string,
  last: boolean,
): Value {
  const { ctx, span, first, geometry, rng } = site;
  const { layout, stride, padBegin, padEnd, dilation } = geometry;
  const window = layer.kind === "window";
  const groups = window ? layer.groups : 1;
  const size = window ? [first.kernel.height, first.kernel.width] : [1, 1];
  const w = drawn(rng, [layer.outputs, channelsOf(site, x) / groups, ...size], groups);
  const own = layout === "nchw" ? w : permuteTensor(w, [0, 2, 3, 1]);
  const ins = [x, ctx.builder.constant(own, `${name}.weight`)];
  // Where a normalisation was folded into the teacher's convolution there is a bias.
  const end = span.layers.at(-1)!;
  const [, , bias, residual] = end.node.ins;
  if (last && bias !== undefined) ins.push(vector(site, `${name}.bias`, layer.outputs, 0));
  if (last && residual !== undefined) ins.push(ctx.value(residual));
  const { act } = end.node.attrs as { readonly act?: Activation };
  const further = end === first ? null : end.geometry;
  const attrs = {
    layout,
    stride: window ? stride.map((s, i) => s * (further?.stride[i] ?? 1)) : [1, 1],
    padBegin: window ? padBegin : [0, 0],
    padEnd: window ? padEnd : [0, 0],
    dilation: window ? dilation : [1, 1],
    groups,
    ...(last && act !== undefined ? { act } : {}),
  };
  return ctx.builder.apply(conv, ins, attrs, name);
}

/** The block's last value. */
export function writeBlock(ctx: RewriteContext, span: Span, rng: Rng): Value {
  const [first, last] = [span.layers[0]!, span.layers.at(-1)!];
  const site: BlockSite = { ctx, span, first, geometry: first.geometry!, rng };
  const layers = blockLayers(span.type, first.kernel.inputs, last.kernel.outputs);
  const names = layerNames(layers);
  let y = ctx.value(first.node.ins[0]!);
  for (const [i, layer] of layers.entries()) {
    const name = `${first.name}${names[i]}`;
    if (layer.kind === "norm") y = writeNorm(site, y, name);
    else if (layer.kind === "relu") y = ctx.builder.apply(relu, [y]);
    else y = writeConv(site, y, layer, name, i === layers.length - 1);
  }
  return y;
}

/** Parameters of structured layers as constants of the new graph. */
const siteOf = ({ builder: graph }: RewriteContext, rng: Rng): Site => ({
  graph,
  parameter: (name, shape, init) => {
    const draw = init(shape, rng);
    const data = Float32Array.from({ length: product(shape) }, () => draw());
    return graph.constant(tensorOf("f32", shape, data), name);
  },
});

/** A normalisation in place of the bias that folding one left in the teacher. */
function normed({ graph, parameter }: Site, y: Value, name: string): Value {
  const c = graph.typeOf(y).shape.at(-1)!;
  const vector = (own: string, value: number): Value =>
    parameter(`${name}.norm.${own}`, [c], () => () => value);
  const ins = [y, vector("gamma", 1), vector("beta", 0), vector("mean", 0), vector("variance", 1)];
  return graph.apply(batchNorm, ins, { layout: "nhwc", epsilon: EPSILON }, `${name}.norm`);
}

/** A structured layer in the place of a convolution, which keeps the size but for the stride. */
export function writeConv2d(
  ctx: RewriteContext,
  layer: Layer,
  substitute: Substitute,
  rng: Rng,
): Value {
  const { node, kernel, name, geometry } = layer;
  const site = siteOf(ctx, rng);
  const { layout, stride } = geometry!;
  const turned = (v: Value, perm: readonly number[]): Value =>
    layout === "nhwc" ? v : ctx.builder.apply(transpose, [v], { perm });
  const window = {
    kernel: [kernel.height, kernel.width],
    stride: [stride[0]!, stride[1]!],
  } as const;
  const x = turned(ctx.value(node.ins[0]!), [0, 2, 3, 1]);
  const y = substitute(site, x, kernel.outputs, window, name);
  return turned(node.ins.length > 2 ? normed(site, y, name) : y, [0, 3, 1, 2]);
}

/** A structured layer in the place of a linear one. */
export function writeLinear(
  ctx: RewriteContext,
  { node, kernel, name }: Layer,
  point: Pointwise,
  rng: Rng,
): Value {
  const site = siteOf(ctx, rng);
  const y = point(site, ctx.value(node.ins[0]!), kernel.outputs, name);
  return node.ins.length > 2 ? normed(site, y, name) : y;
}
