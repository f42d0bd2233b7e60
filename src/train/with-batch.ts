/** @file The same network for another number of rows. */
import { type Graph, GraphBuilder, type Node, typeOf, type Value } from "../graph/graph.ts";
import { tensorType } from "../tensor/tensor.ts";
import { UserError } from "../util/errors.ts";

interface Sized {
  readonly shape?: readonly number[];
  readonly size?: readonly number[];
}

/** Attributes that say the number of rows: the shape a reshape gives, the size of a slice. */
function attrsFor(node: Node, from: number, to: number): object {
  const attrs = node.attrs as Sized;
  const resized = (list: readonly number[]): number[] => [to, ...list.slice(1)];
  return {
    ...attrs,
    ...(attrs.shape?.[0] === from && { shape: resized(attrs.shape) }),
    ...(attrs.size?.[0] === from && { size: resized(attrs.size) }),
  };
}

/** The rows of a graph: the first axis of its first input. */
export const rowsOf = (graph: Graph): number => {
  const [input] = graph.inputs;
  return (input === undefined ? undefined : typeOf(graph, input).shape[0]) ?? 1;
};

/**
 * `graph` for `rows` rows: the first axis of every input. The same graph when it has them already. Throws UserError
 * when the inputs differ in rows, or when the network depends on their number.
 */
export function withBatch(graph: Graph, rows: number): Graph {
  const counts = new Set(graph.inputs.map((v) => typeOf(graph, v).shape[0] ?? 1));
  const [from] = counts;
  if (counts.size !== 1 || from === undefined) {
    throw new UserError("E_SHAPE", `the inputs of ${graph.name} have ${[...counts]} rows`, {
      hint: "expected one number of rows for all inputs",
    });
  }
  if (from === rows) return graph;
  const g = new GraphBuilder(graph.name);
  Object.assign(g.meta, graph.meta);
  const map = new Map<Value, Value>();
  for (const v of graph.inputs) {
    const { name, type } = graph.values.get(v)!;
    const shape = [rows, ...type.shape.slice(1)];
    map.set(v, g.input(name, tensorType(type.dtype, shape, type.quant)));
  }
  const value = (v: Value): Value => {
    const known = map.get(v) ?? g.constant(graph.constants.get(v)!, graph.values.get(v)!.name);
    map.set(v, known);
    return known;
  };
  // What is computed from constants alone, as weights of factors are, has no rows.
  const varying = new Set(graph.inputs);
  for (const node of graph.nodes) {
    const varies = node.ins.some((v) => varying.has(v));
    if (varies) for (const v of node.outs) varying.add(v);
    const attrs = varies ? attrsFor(node, from, rows) : node.attrs;
    const outs = g.applyAll(node.op, node.ins.map(value), attrs, node.name);
    node.outs.forEach((v, i) => {
      map.set(v, outs[i]!);
      g.setName(outs[i]!, graph.values.get(v)!.name);
    });
  }
  graph.outputs.forEach((v, i) => {
    checkRows(graph, v, g.typeOf(value(v)).shape, from, rows);
    g.output(value(v), graph.outputNames[i]!);
  });
  return g.build();
}

function checkRows(
  graph: Graph,
  v: Value,
  got: readonly number[],
  from: number,
  rows: number,
): void {
  const { shape } = typeOf(graph, v);
  const want = shape[0] === from ? [rows, ...shape.slice(1)] : null;
  if (want !== null && want.join() === got.join()) return;
  throw new UserError("E_SHAPE", `${graph.name} depends on its number of rows, ${from}`, {
    where: graph.values.get(v)!.name,
    hint: `an output [${shape}] became [${got}] for ${rows} rows; import the model with that shape`,
  });
}
