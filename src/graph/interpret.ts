/** @file The reference interpreter: runs a graph with each operator's `eval`. Slow, and the oracle of everything else. */
import { sameShape, type Tensor } from "../tensor/tensor.ts";
import { InternalError, UserError } from "../util/errors.ts";
import { evalTensors } from "./apply.ts";
import { type Executor, type Graph, GraphBuilder, type Node, type Value } from "./graph.ts";
import { printType } from "./print.ts";

export interface InterpretOptions {
  /** Called with every node's results, in order of execution. */
  readonly onNode?: (node: Node, outs: readonly Tensor[]) => void;
}

/** Checks that the feeds fit the graph's inputs: count, dtype and shape. */
export function checkFeeds(graph: Graph, feeds: readonly Tensor[]): void {
  if (feeds.length !== graph.inputs.length) {
    throw new UserError(
      "E_DATA",
      `the model has ${graph.inputs.length} inputs, got ${feeds.length}`,
    );
  }
  graph.inputs.forEach((v, i) => {
    const { type, name } = graph.values.get(v)!;
    const got = feeds[i]!.type;
    if (got.dtype !== type.dtype || !sameShape(got.shape, type.shape)) {
      throw new UserError(
        "E_DATA",
        `input '${name}': expected ${printType(type)}, got ${printType(got)}`,
      );
    }
  });
}

/** The values of the outputs for the given inputs (in the order of graph.inputs). */
export function interpret(
  graph: Graph,
  feeds: readonly Tensor[],
  options: InterpretOptions = {},
): readonly Tensor[] {
  checkFeeds(graph, feeds);
  const env = new Map<Value, Tensor>(graph.constants);
  graph.inputs.forEach((v, i) =>
    env.set(v, { type: graph.values.get(v)!.type, data: feeds[i]!.data }),
  );
  const lastUse = new Map<Value, number>();
  graph.nodes.forEach((node, i) => {
    for (const v of node.ins) lastUse.set(v, i);
  });
  const keep = new Set(graph.outputs);
  graph.nodes.forEach((node, i) => {
    const ins = node.ins.map((v) => env.get(v)!);
    const outs = evalNode(node, ins, graph);
    node.outs.forEach((v, k) => env.set(v, outs[k]!));
    options.onNode?.(node, outs);
    for (const v of node.ins) if (lastUse.get(v) === i && !keep.has(v)) env.delete(v);
  });
  return graph.outputs.map((v) => env.get(v)!);
}

/** The results of one node, composite or not. */
export function evalNode(node: Node, ins: readonly Tensor[], graph: Graph): readonly Tensor[] {
  const types = node.outs.map((v) => graph.values.get(v)!.type);
  if (node.op.eval !== undefined) return evalTensors(node.op, ins, node.attrs, types);
  if (node.op.decompose === undefined) {
    throw new InternalError(`operator ${node.op.name} has neither eval nor decompose`);
  }
  const g = new GraphBuilder(node.op.name);
  const values = ins.map((t, i) => g.input(`in${i}`, t.type));
  for (const v of node.op.decompose(g, values, node.attrs)) g.output(v);
  return interpret(g.build(), ins);
}

/** The interpreter as an Executor. */
export const interpretExecutor: Executor = async (graph, feeds) => interpret(graph, feeds);
