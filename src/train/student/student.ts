/**
 * @file A student from any teacher: its k x k convolutions become the cheap blocks of models/blocks.ts or structured
 * layers (structured/types.ts), in the same places, with the same strides; stem, 1 x 1 convolutions and classifier stay
 * as they are, and linear layers between where nothing is asked for them.
 */
import { type Layer, layersOf } from "../../compress/factorise/layer.ts";
import { blockType } from "../../compress/substitute/block.ts";
import type { Graph, Node, Value } from "../../graph/graph.ts";
import { type RewriteContext, rewrite, usesOf } from "../../graph/rewrite.ts";
import { UserError } from "../../util/errors.ts";
import { makeRng, type Rng } from "../../util/rng.ts";
import { structuredBlock, structuredLinear } from "../structured/types.ts";
import { renewed } from "./fresh-weights.ts";
import { keepsSize, nextLayer } from "./runs.ts";
import { type Span, writeBlock, writeConv2d, writeLinear } from "./write-block.ts";

export interface StudentOptions {
  /**
   * What stands for convolutions with a window of more than one position: S (the layer stays), G(4), G(N/4), G(N), B(2),
   * BG(2,4), BG(2,M/4), BG(2,M), ACDC(12), Hashed(0.1), TT(0.25), Tucker(0.25), LowRank(0.1), Shuffle(4); for all, or
   * by the layer's name. Default "S".
   */
  readonly blocks?: string | ((layer: string) => string);
  /** The same for linear layers other than the classifier: S or a structured layer. Default "S". */
  readonly linears?: string | ((layer: string) => string);
  /** Of the fresh weights; default 1. */
  readonly seed?: number;
  /**
   * Whether layers that stay keep the teacher's weights; default "fresh": convolutions, linear layers and batch
   * normalisations are drawn anew.
   */
  readonly weights?: "fresh" | "teacher";
}

export interface StudentBlock {
  /** The replaced layers: two where one bottleneck takes the place of a residual branch. */
  readonly layers: readonly string[];
  readonly type: string;
}

export interface Student {
  readonly graph: Graph;
  readonly blocks: readonly StudentBlock[];
  /** Layers that should have been replaced but were not, and why. */
  readonly kept: readonly { readonly name: string; readonly reason: string }[];
}

/** What takes the place of a run of layers, written where the last of them was. */
interface Change extends StudentBlock {
  readonly first: Node;
  readonly last: Node;
  readonly write: (ctx: RewriteContext, rng: Rng) => Value;
}

const chosen = (choice: StudentOptions["blocks"], name: string): string =>
  typeof choice === "function" ? choice(name) : (choice ?? "S");

/** Why a structured layer cannot stand for the convolution; null: it can. */
function refusal(layer: Layer): string | null {
  const { geometry, kernel, fused } = layer;
  if (fused) return "an activation or residual is fused into it";
  const { padBegin, dilation } = geometry!;
  const even = [kernel.height, kernel.width].every((k, i) => padBegin[i] === (k - 1) >> 1);
  if (dilation.some((d) => d !== 1)) return "it is dilated";
  return even && keepsSize(layer) ? null : "its padding does not keep the size";
}

interface Found {
  readonly changes: Change[];
  readonly kept: { name: string; reason: string }[];
}

function convChanges(graph: Graph, layers: readonly Layer[], options: StudentOptions): Found {
  const windows = layers.filter(({ kernel }) => kernel.height * kernel.width > 1);
  const left = new Map(windows.map((l) => [l.node, l]));
  const uses = usesOf(graph);
  const found: Found = { changes: [], kept: [] };
  const add = (type: string, run: readonly Layer[], write: Change["write"]): void => {
    const names = run.map((l) => l.name);
    const ends = { first: run[0]!.node, last: run.at(-1)!.node };
    found.changes.push({ type, layers: names, ...ends, write });
  };
  for (const layer of windows) {
    if (!left.has(layer.node)) continue;
    left.delete(layer.node);
    const text = chosen(options.blocks, layer.name);
    const structured = structuredBlock(text);
    if (structured !== null) {
      const reason = refusal(layer);
      if (reason !== null) found.kept.push({ name: layer.name, reason });
      else add(text, [layer], (ctx, rng) => writeConv2d(ctx, layer, structured, rng));
      continue;
    }
    const type = blockType(text);
    if (type.name === "S") continue;
    const second = type.bottleneck === null ? null : nextLayer(graph, uses, layer, left);
    const joins = second !== null && keepsSize(layer) && keepsSize(second);
    if (joins) left.delete(second.node);
    const span: Span = { layers: joins ? [layer, second] : [layer], type };
    add(type.name, span.layers, (ctx, rng) => writeBlock(ctx, span, rng));
  }
  return found;
}

function linearChanges(layers: readonly Layer[], options: StudentOptions): Found {
  const found: Found = { changes: [], kept: [] };
  for (const layer of layers) {
    const type = chosen(options.linears, layer.name);
    if (layer.geometry !== null || type === "S") continue;
    if (layer.fused) {
      found.kept.push({ name: layer.name, reason: "an activation is fused into it" });
      continue;
    }
    const point = structuredLinear(type);
    const write: Change["write"] = (ctx, rng) => writeLinear(ctx, layer, point, rng);
    const { node } = layer;
    found.changes.push({ type, layers: [layer.name], first: node, last: node, write });
  }
  return found;
}

/**
 * The student of a float teacher. A bottleneck takes the place of two convolutions where the second alone reads the
 * first, as in a residual branch. Throws UserError when nothing is replaced, or groups do not divide channels.
 */
export function studentOf(teacher: Graph, options: StudentOptions): Student {
  const { seed = 1, weights = "fresh" } = options;
  const convs = convChanges(teacher, layersOf(teacher), options);
  // A multilayer perceptron's first layer is no stem.
  const linears = linearChanges(layersOf(teacher, { stem: true }), options);
  const changes = [...convs.changes, ...linears.changes];
  const kept = [...convs.kept, ...linears.kept];
  if (changes.length === 0) {
    const [one] = kept;
    throw new UserError("E_ARGUMENT", `no layer of ${teacher.name} is replaced`, {
      hint:
        one === undefined
          ? "blocks stand for float convolutions over two axes, without groups, behind the first one"
          : `${one.name}: ${one.reason}`,
    });
  }
  const ends = new Map(changes.map((c) => [c.last, c]));
  const inside = new Set(changes.flatMap((c) => (c.first === c.last ? [] : [c.first])));
  const rng = makeRng(seed);
  const graph = rewrite(teacher, (node, ctx) => {
    const change = ends.get(node);
    if (change === undefined) {
      return weights === "fresh" && !inside.has(node) ? renewed(node, ctx, rng) : null;
    }
    const y = change.write(ctx, rng);
    ctx.builder.setName(y, ctx.graph.values.get(node.outs[0]!)!.name);
    return [y];
  });
  const blocks = changes.map(({ layers, type }) => ({ layers, type }));
  return { graph: { ...graph, name: `${teacher.name}-student` }, blocks, kept };
}
