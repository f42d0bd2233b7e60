/**
 * @file What there is to select: the nodes of a network that run, each with its candidates, and what a choice
 * among them is.
 */
import type { Graph, Node, Value } from "../graph/graph.ts";
import type { Candidate } from "../primitives/primitive.ts";
import type { Layout } from "../tensor/layout.ts";
import type { TensorType } from "../tensor/tensor.ts";

export interface NetworkNode {
  readonly node: Node;
  readonly ins: readonly TensorType[];
  readonly outs: readonly TensorType[];
  /** Which inputs are known at compile time; absent: none. */
  readonly known?: readonly boolean[];
  /** At least one; the first is the choice where nothing is known of times. */
  readonly candidates: readonly Candidate[];
  /** Identifies what decides the time of a candidate beside its name: operator, types, attributes. */
  readonly signature: string;
}

export interface Network {
  readonly graph: Graph;
  readonly nodes: readonly NetworkNode[];
  /** Is this value known at compile time? */
  isConstant(v: Value): boolean;
  /** The ways to bring a value of the graph from one layout to another. */
  conversions(v: Value, from: Layout, to: Layout): NetworkNode;
}

/** One conversion of a value: between layouts that exist before it and after it. */
export interface Conversion {
  readonly value: Value;
  readonly from: Layout;
  readonly to: Layout;
  /** Index among the candidates of the conversion. */
  readonly candidate: number;
}

export interface Selection {
  /** Index of the chosen candidate, one per node of the network. */
  readonly choices: readonly number[];
  /** In an order in which each finds its source layout present. */
  readonly conversions: readonly Conversion[];
}

/** Chooses for a whole network. */
export type Selector = (network: Network) => Selection;

/** The layout a candidate reads input `i` in, or writes output `i` in. */
export const inputLayout = (c: Candidate, i: number): Layout => c.ins?.[i] ?? "plain";
export const outputLayout = (c: Candidate, i: number): Layout => c.outs?.[i] ?? "plain";
