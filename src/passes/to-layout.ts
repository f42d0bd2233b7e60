/** @file Brings spatial operators into one layout. */
import type { Graph, Node } from "../graph/graph.ts";
import { type RewriteContext, rewrite } from "../graph/rewrite.ts";
import { cancelTransposes } from "./cancel-transposes.ts";
import { definePass, type Pass } from "./pass.ts";
import { attrOf } from "./rules.ts";
import { applyPermuted, fullRank, permutedNode, TransposedValues } from "./transposed.ts";

export type Layout = "nchw" | "nhwc";

/** Axes of a tensor of the other layout in the order of `layout`. */
function layoutPermutation(layout: Layout, rank: number): number[] {
  const spatial = Array.from({ length: rank - 2 }, (_, i) => i + (layout === "nhwc" ? 2 : 1));
  return layout === "nhwc" ? [0, ...spatial, 1] : [0, rank - 1, ...spatial];
}

/** Every node with another `layout` becomes transposes, the node in the wanted layout, and a transpose. */
function convert(graph: Graph, layout: Layout): Graph {
  let values: TransposedValues | undefined;
  return rewrite(graph, (node: Node, ctx: RewriteContext) => {
    values ??= new TransposedValues(ctx);
    const own = attrOf(node, "layout");
    const rank = fullRank(node, ctx);
    if ((own !== "nchw" && own !== "nhwc") || own === layout || rank < 3) return null;
    const perm = layoutPermutation(layout, rank);
    const form = permutedNode(node, ctx, perm);
    return form === null ? null : applyPermuted(node, ctx, values, perm, form);
  });
}

/** The pass that gives every operator with a layout this one, as far as it has a permuted form. */
export function toLayout(layout: Layout): Pass {
  return definePass({
    name: `to-${layout}`,
    doc: `Puts spatial operators into ${layout}, weights included, and cancels the transposes in between.`,
    run(graph) {
      const converted = convert(graph, layout);
      return converted === graph ? graph : cancelTransposes.run(converted);
    },
  });
}
