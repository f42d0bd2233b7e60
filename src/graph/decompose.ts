/** @file Expands composite operators into core ones. */
import { invariant } from "../util/errors.ts";
import type { Graph } from "./graph.ts";
import { rewrite } from "./rewrite.ts";

/** Replaces each op that `shouldExpand` names (default: those without `eval`) by its decomposition, to a fixed point. */
export function expandComposites(
  graph: Graph,
  shouldExpand: (op: Graph["nodes"][number]["op"]) => boolean = (op) => op.eval === undefined,
): Graph {
  let current = graph;
  for (let round = 0; round < 20; round++) {
    const next = rewrite(current, (node, ctx) => {
      if (node.op.decompose === undefined || !shouldExpand(node.op)) return null;
      return node.op.decompose(ctx.builder, node.ins.map(ctx.value), node.attrs);
    });
    if (next === current) return current;
    current = next;
  }
  invariant(false, () => "composite operators expand without end");
}
