/** @file A network inside a training step: its values as those of the step, found by place or by name. */
import type { Graph, Node, Value } from "../graph/graph.ts";
import { softmax } from "../ops/reduce/index.ts";
import { UserError } from "../util/errors.ts";

/** The student or the teacher, as a loss sees it. */
export interface Network {
  readonly graph: Graph;
  /** The step's value for one of the graph. */
  at(v: Value): Value;
}

const MAX_LISTED = 12;

/** The value of that name, or the first result of the node of that name. Throws UserError when there is none. */
export function valueNamed(graph: Graph, name: string): Value {
  for (const [v, info] of graph.values) if (info.name === name) return v;
  const output = graph.outputNames.indexOf(name);
  if (output >= 0) return graph.outputs[output]!;
  const node = graph.nodes.find((n) => n.name === name);
  if (node !== undefined) return node.outs[0]!;
  const names = graph.nodes.map((n) => n.name).filter((n) => n !== "");
  const some = names.slice(-MAX_LISTED).join(", ");
  throw new UserError("E_ARGUMENT", `${graph.name} has no value or node named '${name}'`, {
    where: name,
    hint: `the last of its ${names.length} named nodes: ${some}`,
  });
}

/** The outputs of the graph by name, as values of the step. */
export const outputsOf = ({ graph, at }: Network): Readonly<Record<string, Value>> =>
  Object.fromEntries(graph.outputs.map((v, i) => [graph.outputNames[i]!, at(v)]));

/** Scores of the classes before a softmax at the end: the first output, or what the softmax there reads. */
export function logitsOf({ graph, at }: Network): Value {
  const v = graph.outputs[0]!;
  const producer = graph.nodes.find((n: Node) => n.outs.includes(v));
  const last = producer !== undefined && producer.op.name === softmax.name;
  return at(last ? producer.ins[0]! : v);
}
