/**
 * @file Pictures of features in a network: where attention is transferred. Found by structure, so that networks built
 * in code and imported ones of either layout are treated alike.
 */
import { type Graph, isOp, type Node, typeOf, type Value } from "../graph/graph.ts";
import { type Uses, usesOf } from "../graph/rewrite.ts";
import { add } from "../ops/elementwise/add.ts";
import { batchNorm } from "../ops/nn/batch-norm.ts";
import { conv } from "../ops/nn/conv.ts";
import { concat } from "../ops/shape/concat.ts";
import { transpose } from "../ops/shape/transpose.ts";
import { UserError } from "../util/errors.ts";
import { valueNamed } from "./network.ts";

export type FeatureLayout = "nchw" | "nhwc";

/** A value [batch, height, width, channels], or with the channels second. */
export interface Feature {
  readonly value: Value;
  readonly name: string;
  readonly layout: FeatureLayout;
  readonly height: number;
  readonly width: number;
  readonly channels: number;
}

type Layouts = ReadonlyMap<Value, FeatureLayout>;

const TO_NHWC = "0,2,3,1";
const TO_NCHW = "0,3,1,2";

function layoutAfter(node: Node, from: FeatureLayout): FeatureLayout | null {
  if (!isOp(node, transpose)) return from;
  const perm = node.attrs.perm.join();
  if (perm === TO_NHWC && from === "nchw") return "nhwc";
  return perm === TO_NCHW && from === "nhwc" ? "nchw" : null;
}

/** The layouts of all values with four axes that come from operators that have one. */
function layoutsOf(graph: Graph): Layouts {
  const layouts = new Map<Value, FeatureLayout>();
  for (const node of graph.nodes) {
    const { layout: own } = node.attrs as { readonly layout?: FeatureLayout };
    const operand = node.ins.find((v) => layouts.has(v));
    const from = own ?? (operand === undefined ? undefined : layouts.get(operand));
    const layout = from === undefined ? null : layoutAfter(node, from);
    if (layout === null) continue;
    for (const v of node.outs) {
      if (typeOf(graph, v).shape.length === 4) layouts.set(v, layout);
    }
  }
  return layouts;
}

function featureOf(graph: Graph, value: Value, layout: FeatureLayout, name: string): Feature {
  const { shape } = typeOf(graph, value);
  const [, a, b, c] = shape as [number, number, number, number];
  const [height, width, channels] = layout === "nhwc" ? [a, b, c] : [b, c, a];
  return { value, name, layout, height, width, channels };
}

/** Does the node mix channels, or join branches? What only reshapes or normalises one value does not. */
function mixes(graph: Graph, layouts: Layouts, node: Node): boolean {
  const variable = node.ins.filter((v) => layouts.has(v));
  if (isOp(node, conv)) return !graph.constants.has(node.ins[0]!);
  return (isOp(node, add) || isOp(node, concat)) && variable.length > 1;
}

/** Follows the sole user: a normalisation behind a convolution, and an activation behind either. */
function settled(graph: Graph, uses: Uses, node: Node): Value {
  let v = node.outs[0]!;
  const next = (): Node | undefined => (uses.useCount(v) === 1 ? uses.users(v)[0] : undefined);
  let user = next();
  if (isOp(node, conv) && user !== undefined && isOp(user, batchNorm)) {
    v = user.outs[0]!;
    user = next();
  }
  if (user?.op.scalar !== undefined && !graph.constants.has(v)) v = user.outs[0]!;
  return v;
}

/** Positions of nodes behind which nothing lives but their own result: all that follows passes through it. */
function bottlenecks(graph: Graph): ReadonlySet<number> {
  const last = new Map<Value, number>();
  graph.nodes.forEach((node, i) => {
    for (const v of node.ins) if (!graph.constants.has(v)) last.set(v, i);
  });
  for (const v of graph.outputs) last.set(v, graph.nodes.length);
  const live = new Set(graph.inputs.filter((v) => last.has(v)));
  const found = new Set<number>();
  graph.nodes.forEach((node, i) => {
    for (const v of node.ins) if (last.get(v) === i) live.delete(v);
    for (const v of node.outs) if (last.has(v)) live.add(v);
    if (live.size === 1 && live.has(node.outs[0]!)) found.add(i);
  });
  return found;
}

/**
 * The last output of each resolution, largest first: of the convolutions, sums and concatenations at a resolution
 * the last one that all that follows depends on (or else the last), with the normalisation and activation that
 * belong to it. A sum that is normalised next (pre-activation networks) stays raw.
 */
export function attentionPoints(graph: Graph): readonly Feature[] {
  const layouts = layoutsOf(graph);
  const uses = usesOf(graph);
  const narrow = bottlenecks(graph);
  const found = new Map<string, { readonly node: Node; readonly narrow: boolean }>();
  graph.nodes.forEach((node, i) => {
    const v = node.outs[0]!;
    const layout = layouts.get(v);
    if (layout === undefined || !mixes(graph, layouts, node)) return;
    const { height, width } = featureOf(graph, v, layout, "");
    if (height * width === 1) return;
    const key = `${height}x${width}`;
    if (found.get(key)?.narrow !== true || narrow.has(i)) {
      found.set(key, { node, narrow: narrow.has(i) });
    }
  });
  return [...found.values()]
    .map(({ node }) => {
      const v = settled(graph, uses, node);
      const name = graph.values.get(v)!.name || node.name || `%${v}`;
      return featureOf(graph, v, layouts.get(v) ?? layouts.get(node.outs[0]!)!, name);
    })
    .sort((a, b) => b.height * b.width - a.height * a.width);
}

/** The feature of that name. Throws UserError when there is none, or when it is no picture. */
export function featureNamed(graph: Graph, name: string): Feature {
  const v = valueNamed(graph, name);
  const { shape } = typeOf(graph, v);
  if (shape.length !== 4) {
    throw new UserError("E_SHAPE", `'${name}' of ${graph.name} has shape [${shape}]`, {
      where: name,
      hint: "expected four axes: batch, height, width and channels",
    });
  }
  return featureOf(graph, v, layoutsOf(graph).get(v) ?? "nhwc", name);
}
