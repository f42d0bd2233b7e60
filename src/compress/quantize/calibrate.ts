/** @file Collects statistics of a float model's values on sample inputs, through any executor. */
import { type Executor, type Graph, type Node, typeOf, type Value } from "../../graph/graph.ts";
import { eliminateDead } from "../../graph/rewrite.ts";
import { type Tensor, toNumbers } from "../../tensor/tensor.ts";
import { UserError } from "../../util/errors.ts";
import { StatsCollector, type ValueStats } from "./histogram.ts";

/** Statistics of the f32 values of one graph, by its values. */
export interface CalibrationStats {
  readonly graph: Graph;
  readonly values: ReadonlyMap<Value, ValueStats>;
  /** Batches seen. */
  readonly batches: number;
}

/** Batches of model inputs, one tensor an input. */
export type Batches = Iterable<readonly Tensor[]> | AsyncIterable<readonly Tensor[]>;

/** The graph with other values as its outputs: how intermediate values are seen. */
export function withOutputs(graph: Graph, outputs: readonly Value[]): Graph {
  const outputNames = outputs.map((v) => `value${v}`);
  return eliminateDead({ ...graph, outputs, outputNames });
}

const plainNumbers = (t: Tensor): ArrayLike<number> =>
  t.type.dtype === "f32" || t.type.dtype === "f64" ? (t.data as Float32Array) : toNumbers(t);

/** What a layer is called in options and reports: its node's name, else its result's. */
export const layerName = (graph: Graph, node: Node): string =>
  node.name || graph.values.get(node.outs[0]!)?.name || `${node.op.name}${node.outs[0]}`;

/** Runs the model on the batches and gathers statistics of every f32 input and node result. */
export async function collectStats(
  graph: Graph,
  executor: Executor,
  batches: Batches,
): Promise<CalibrationStats> {
  const isReal = (v: Value): boolean =>
    typeOf(graph, v).dtype === "f32" && typeOf(graph, v).quant === undefined;
  const inputs = graph.inputs.filter(isReal);
  const results = graph.nodes.flatMap((node) => node.outs.filter(isReal));
  const collectors = new Map([...inputs, ...results].map((v) => [v, new StatsCollector()]));
  const exposed = withOutputs(graph, results);
  let count = 0;
  for await (const feeds of batches) {
    graph.inputs.forEach((v, i) => {
      if (feeds[i] !== undefined) collectors.get(v)?.add(plainNumbers(feeds[i]));
    });
    const outs = await executor(exposed, feeds);
    results.forEach((v, i) => {
      collectors.get(v)!.add(plainNumbers(outs[i]!));
    });
    count++;
  }
  if (count === 0) {
    throw new UserError("E_DATA", "no calibration data was given", {
      hint: "give some tens of typical inputs",
    });
  }
  const values = new Map([...collectors].map(([v, c]) => [v, c.stats()]));
  return { graph, values, batches: count };
}
