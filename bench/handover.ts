/** @file Models handed to the processes that time them: a graph with its operators by name, inputs, ONNX. */
import { readFileSync, writeFileSync } from "node:fs";
import { deserialize, serialize } from "node:v8";
import type { Graph, Node } from "../src/graph/graph.ts";
import { ops } from "../src/ops/index.ts";
import type { Tensor } from "../src/tensor/tensor.ts";

export interface Handover {
  readonly graph: Graph;
  readonly feeds: readonly Tensor[];
  /** Our own export. */
  readonly onnx: Uint8Array;
}

type NamedNode = Omit<Node, "op"> & { readonly op: string };
interface Written extends Omit<Handover, "graph"> {
  readonly graph: Omit<Graph, "nodes"> & { readonly nodes: readonly NamedNode[] };
}

export function writeHandover(path: string, { graph, feeds, onnx }: Handover): void {
  const nodes = graph.nodes.map((n) => ({ ...n, op: n.op.name }));
  const written: Written = { graph: { ...graph, nodes }, feeds, onnx };
  writeFileSync(path, serialize(written));
}

export function readHandover(path: string): Handover {
  const { graph, feeds, onnx } = deserialize(readFileSync(path)) as Written;
  const nodes = graph.nodes.map((n) => ({ ...n, op: ops[n.op]! }));
  return { graph: { ...graph, nodes }, feeds, onnx };
}
