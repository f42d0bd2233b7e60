/**
 * @file A student from any teacher: its k x k convolutions become the cheap blocks of models/blocks.ts, in the same
 * places, with the same strides; stem, 1 x 1 convolutions and classifier stay as they are.
 */
import { type Geometry, type Layer, layersOf } from "../compress/factorise/layer.ts";
import { type Graph, isOp, type Node, typeOf, type Value } from "../graph/graph.ts";
import type { Activation } from "../graph/op.ts";
import { type RewriteContext, rewrite, type Uses, usesOf } from "../graph/rewrite.ts";
import { relu } from "../ops/elementwise/relu.ts";
import { batchNorm } from "../ops/nn/batch-norm.ts";
import { conv } from "../ops/nn/conv.ts";
import { linear } from "../ops/nn/linear.ts";
import { channelAxis } from "../ops/nn/spatial.ts";
import { permuteTensor } from "../passes/rules.ts";
import { sameShape, type Tensor, tensorOf } from "../tensor/tensor.ts";
import { UserError } from "../util/errors.ts";
import { product } from "../util/math.ts";
import { makeRng, type Rng } from "../util/rng.ts";
import {
  type BlockLayer,
  type BlockType,
  blockLayers,
  blockType,
  layerNames,
} from "./models/blocks.ts";

export interface StudentOptions {
  /** The block type of all layers, or of each by name; "S" keeps a layer. */
  readonly blocks: string | ((layer: string) => string);
  /** Of the fresh weights; default 1. */
  readonly seed?: number;
  /** Whether layers that stay keep the teacher's weights; default "fresh": all are drawn anew. */
  readonly weights?: "fresh" | "teacher";
}

export interface StudentBlock {
  /** The replaced convolutions: two where one bottleneck takes the place of a residual branch. */
  readonly layers: readonly string[];
  readonly type: string;
}

export interface Student {
  readonly graph: Graph;
  readonly blocks: readonly StudentBlock[];
}

const EPSILON = 1e-5;

/** A run of layers that one block replaces. */
interface Span {
  readonly layers: readonly Layer[];
  readonly type: BlockType;
}

/** The next windowed layer behind this one, over operators that keep the shape and that nothing else reads. */
function nextLayer(
  graph: Graph,
  uses: Uses,
  layer: Layer,
  candidates: ReadonlyMap<Node, Layer>,
): Layer | null {
  let node = layer.node;
  while (uses.useCount(node.outs[0]!) === 1) {
    const [user] = uses.users(node.outs[0]!);
    if (user === undefined) return null;
    const found = candidates.get(user);
    if (found !== undefined)
      return user.ins[0] === node.outs[0] && user.ins.length < 4 ? found : null;
    const alone = user.ins.every((v) => v === node.outs[0] || graph.constants.has(v));
    const [before, after] = [node, user].map((n) => typeOf(graph, n.outs[0]!).shape);
    if (!alone || user.op.cost !== undefined || !sameShape(before!, after!)) return null;
    node = user;
  }
  return null;
}

/** A window padded so that sizes stay but for the stride. */
function keepsSize({ geometry, kernel }: Layer): boolean {
  if (geometry === null) return false;
  const { padBegin, padEnd, dilation } = geometry;
  const reach = [kernel.height, kernel.width].map((k, i) => (k - 1) * dilation[i]!);
  return reach.every((r, i) => padBegin[i]! + padEnd[i]! === r);
}

function spansOf(graph: Graph, options: StudentOptions): readonly Span[] {
  const { blocks } = options;
  const windows = layersOf(graph).filter(({ kernel }) => kernel.height * kernel.width > 1);
  const left = new Map(windows.map((l) => [l.node, l]));
  const spans: Span[] = [];
  const uses = usesOf(graph);
  for (const layer of windows) {
    if (!left.has(layer.node)) continue;
    const type = blockType(typeof blocks === "string" ? blocks : blocks(layer.name));
    left.delete(layer.node);
    if (type.name === "S") continue;
    const second = type.bottleneck === null ? null : nextLayer(graph, uses, layer, left);
    const joins = second !== null && keepsSize(layer) && keepsSize(second);
    if (joins) left.delete(second.node);
    spans.push({ layers: joins ? [layer, second] : [layer], type });
  }
  return spans;
}

/** Kaiming normal over the outputs of a group, as Net draws it; shape [outputs, inputs per group, height, width]. */
function drawn(rng: Rng, shape: readonly number[], groups: number): Tensor {
  const deviation = Math.sqrt(2 / ((shape[0]! / groups) * product(shape.slice(2))));
  return tensorOf(
    "f32",
    shape,
    Float32Array.from({ length: product(shape) }, () => deviation * rng.normal()),
  );
}

/** Where a block is written. */
interface Site {
  readonly ctx: RewriteContext;
  readonly span: Span;
  readonly first: Layer;
  readonly geometry: Geometry;
  readonly rng: Rng;
}

const vector = ({ ctx }: Site, name: string, count: number, value: number): Value =>
  ctx.builder.constant(tensorOf("f32", [count], new Float32Array(count).fill(value)), name);

function channelsOf({ ctx, geometry }: Site, v: Value): number {
  const { shape } = ctx.builder.typeOf(v);
  return shape[channelAxis(geometry.layout, shape.length)]!;
}

function writeNorm(site: Site, x: Value, name: string): Value {
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

function writeConv(site: Site, x: Value, layer: ConvLayer, name: string, last: boolean): Value {
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

function writeBlock(ctx: RewriteContext, span: Span, rng: Rng): Value {
  const [first, last] = [span.layers[0]!, span.layers.at(-1)!];
  const site = { ctx, span, first, geometry: first.geometry!, rng };
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

/** A layer that stays, with weights drawn anew; null: nothing in it is learned. */
function renewed(node: Node, ctx: RewriteContext, rng: Rng): readonly Value[] | null {
  const fill = (position: number, make: (t: Tensor) => Tensor): void => {
    const v = node.ins[position];
    const old = v === undefined ? undefined : ctx.constant(v);
    if (old === undefined || old.type.dtype !== "f32") return;
    ins[position] = ctx.builder.constant(make(old), ctx.graph.values.get(v!)!.name);
  };
  const full =
    (value: number) =>
    (t: Tensor): Tensor =>
      tensorOf("f32", t.type.shape, new Float32Array(t.data.length).fill(value));
  const ins = node.ins.map(ctx.value);
  if (isOp(node, batchNorm)) [1, 0, 0, 1].forEach((value, i) => fill(i + 1, full(value)));
  else if (isOp(node, conv)) {
    const { layout, groups } = node.attrs;
    fill(1, ({ type: { shape } }) => {
      const last = layout === "nhwc";
      const rank = shape.length;
      const order = last
        ? [0, rank - 1, ...shape.slice(2).map((_, i) => i + 1)]
        : shape.map((_, i) => i);
      const fresh = drawn(
        rng,
        order.map((i) => shape[i]!),
        groups,
      );
      return last
        ? permuteTensor(
            fresh,
            shape.map((_, i) => order.indexOf(i)),
          )
        : fresh;
    });
    fill(2, full(0));
  } else if (isOp(node, linear)) {
    const bound = 1 / Math.sqrt(ctx.typeOf(node.ins[1]!).shape[1]!);
    const uniform = ({ type, data }: Tensor): Tensor =>
      tensorOf(
        "f32",
        type.shape,
        Float32Array.from({ length: data.length }, () => bound * (2 * rng.next() - 1)),
      );
    fill(1, uniform);
    fill(2, uniform);
  } else return null;
  const outs = ctx.builder.applyAll(node.op, ins, node.attrs, node.name);
  node.outs.forEach((v, i) => ctx.builder.setName(outs[i]!, ctx.graph.values.get(v)!.name));
  return outs;
}

/**
 * The student of a float teacher. A bottleneck takes the place of two convolutions where the second alone reads the
 * first, as in a residual branch. Throws UserError when nothing is replaced, or groups do not divide channels.
 */
export function studentOf(teacher: Graph, options: StudentOptions): Student {
  const { seed = 1, weights = "fresh" } = options;
  const spans = spansOf(teacher, options);
  if (spans.length === 0) {
    throw new UserError("E_ARGUMENT", `no convolution of ${teacher.name} is replaced`, {
      hint: "blocks stand for float convolutions over two axes, without groups, behind the first one",
    });
  }
  const ends = new Map(spans.map((s) => [s.layers.at(-1)!.node, s]));
  const inside = new Set(spans.flatMap((s) => s.layers.slice(0, -1).map((l) => l.node)));
  const rng = makeRng(seed);
  const graph = rewrite(teacher, (node, ctx) => {
    const span = ends.get(node);
    if (span === undefined)
      return weights === "fresh" && !inside.has(node) ? renewed(node, ctx, rng) : null;
    const y = writeBlock(ctx, span, rng);
    ctx.builder.setName(y, ctx.graph.values.get(node.outs[0]!)!.name);
    return [y];
  });
  const blocks = spans.map(({ layers, type }) => ({
    layers: layers.map((l) => l.name),
    type: type.name,
  }));
  return { graph: { ...graph, name: `${teacher.name}-student` }, blocks };
}
