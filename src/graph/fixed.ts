/** @file Constants that stand for a fixed computation, such as features of sound: not trained, not pruned. */
import type { Graph, Node, Value } from "./graph.ts";

/** Starts the names of constants and nodes that never change. */
export const FIXED_PREFIX = "features.";

/** Whether the constant that a node reads is fixed, by its name or the node's. */
export const isFixed = (graph: Graph, node: Pick<Node, "name">, constant: Value): boolean =>
  node.name.startsWith(FIXED_PREFIX) || graph.values.get(constant)!.name.startsWith(FIXED_PREFIX);
