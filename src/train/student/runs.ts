/** @file Which layers of a teacher one block can replace together: two convolutions in a row, as in a residual branch. */
import { type Layer, layersOf } from "../../compress/factorise/layer.ts";
import { type Graph, type Node, typeOf } from "../../graph/graph.ts";
import { type Uses, usesOf } from "../../graph/rewrite.ts";
import { sameShape } from "../../tensor/tensor.ts";

/** The next windowed layer behind this one, over operators that keep the shape and that nothing else reads. */
export function nextLayer(
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
export function keepsSize({ geometry, kernel }: Layer): boolean {
  if (geometry === null) return false;
  const { padBegin, padEnd, dilation } = geometry;
  const reach = [kernel.height, kernel.width].map((k, i) => (k - 1) * dilation[i]!);
  return reach.every((r, i) => padBegin[i]! + padEnd[i]! === r);
}

/** All windowed layers but the stem, in runs of one or two. */
export function runsOf(graph: Graph): readonly (readonly Layer[])[] {
  const windows = layersOf(graph).filter(({ kernel }) => kernel.height * kernel.width > 1);
  const left = new Map(windows.map((l) => [l.node, l]));
  const uses = usesOf(graph);
  return windows.flatMap((layer) => {
    if (!left.delete(layer.node)) return [];
    const next = nextLayer(graph, uses, layer, left);
    if (next === null || !keepsSize(layer) || !keepsSize(next)) return [[layer]];
    left.delete(next.node);
    return [[layer, next]];
  });
}
