/** @file Times of the nodes of a compiled model, predicted and measured, and of the layers that they compute. */
import type { Graph } from "../graph/graph.ts";
import type { CompiledModel } from "../pipeline.ts";
import type { CompiledNode } from "../plan/compile.ts";
import type { StepTime } from "../runtime/session.ts";

/** Milliseconds in one inference. */
export interface Times {
  readonly predictedMs: number;
  readonly measuredMs: number;
}

export interface NodeTimes extends Times {
  readonly node: CompiledNode;
}

/** Times of each node that computes anything, conversions of layout included; `steps`: of a session's profile. */
export const nodeTimes = (
  { nodes, costs }: Pick<CompiledModel, "nodes" | "costs">,
  steps: readonly Pick<StepTime, "ms">[],
): NodeTimes[] =>
  nodes
    .filter((node) => node.stepCount > 0)
    .map((node) => ({
      node,
      predictedMs: costs.estimate(node.choice, node.candidate).ns / 1e6,
      measuredMs: steps
        .slice(node.firstStep, node.firstStep + node.stepCount)
        .reduce((sum, step) => sum + step.ms, 0),
    }));

const sumOf = (times: readonly Times[]): Times => ({
  predictedMs: times.reduce((sum, t) => sum + t.predictedMs, 0),
  measuredMs: times.reduce((sum, t) => sum + t.measuredMs, 0),
});

/** The times of a graph's layers, by name. */
export interface LayerTimes {
  /** Of the layers of each name, in order; null: they are computed in several or in fewer nodes. */
  readonly layers: ReadonlyMap<string, readonly (Times | null)[]>;
  /** Of everything else: nodes that are no layers, conversions, layers without times of their own. */
  readonly rest: Times;
}

/** Layers (nodes that sum over inputs) of the graph that was compiled, beside the compiled nodes of their names. */
export function layerTimes(graph: Graph, times: readonly NodeTimes[]): LayerTimes {
  const counts = new Map<string, number>();
  for (const { op, name } of graph.nodes) {
    if (op.contracts === true) counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  const taken = new Set<NodeTimes>();
  const layers = new Map<string, readonly (Times | null)[]>();
  for (const [name, count] of counts) {
    const own = times.filter(
      ({ node: { node } }) => node.op.contracts === true && node.name === name,
    );
    const apart = own.length === count;
    layers.set(name, apart ? own : Array.from({ length: count }, () => null));
    if (apart) for (const t of own) taken.add(t);
  }
  return { layers, rest: sumOf(times.filter((t) => !taken.has(t))) };
}
