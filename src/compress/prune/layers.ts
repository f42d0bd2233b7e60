/** @file What pruning made of the layers of a model. */
import { macsOfNode } from "../../graph/count.ts";
import { type Graph, type Node, typeOf } from "../../graph/graph.ts";
import { byteSize } from "../../tensor/tensor.ts";

/** One layer before and after. */
export interface PrunedLayer {
  readonly name: string;
  readonly op: string;
  /** Of its result, along the axis that changed; null: it stayed. */
  readonly channels: readonly [before: number, after: number] | null;
  readonly macs: readonly [before: number, after: number];
  readonly bytes: readonly [before: number, after: number];
  /** Share of its weights that are 0. */
  readonly zeros: readonly [before: number, after: number];
}

const weightBytes = (graph: Graph, node: Node): number =>
  node.ins.reduce((n, v) => n + (graph.constants.has(v) ? byteSize(typeOf(graph, v)) : 0), 0);

/** Share of zeros among the weights a node reads. */
function zerosOf(graph: Graph, node: Node): number {
  let [zero, all] = [0, 0];
  for (const v of node.ins) {
    const t = graph.constants.get(v);
    if (t === undefined || t.type.shape.length < 2) continue;
    all += t.data.length;
    for (let i = 0; i < t.data.length; i++) if (t.data[i] === 0) zero++;
  }
  return all === 0 ? 0 : zero / all;
}

/** The axis of the result that changed. */
function channelsOf(before: readonly number[], after: readonly number[]): PrunedLayer["channels"] {
  const axis = before.findIndex((n, i) => n !== after[i]);
  return axis < 0 || before.length !== after.length ? null : [before[axis]!, after[axis]!];
}

/** Layers with weights, matched by name and order. */
export function prunedLayers(original: Graph, graph: Graph): PrunedLayer[] {
  const layers = (g: Graph): Node[] => g.nodes.filter((n) => n.op.contracts === true);
  const left = new Map<string, Node[]>();
  for (const n of layers(graph)) left.set(n.name, [...(left.get(n.name) ?? []), n]);
  return layers(original).flatMap((node): PrunedLayer[] => {
    const now = left.get(node.name)?.shift();
    if (now === undefined) return [];
    const shapes = [
      typeOf(original, node.outs[0]!).shape,
      typeOf(graph, now.outs[0]!).shape,
    ] as const;
    return [
      {
        name: node.name,
        op: node.op.name,
        channels: channelsOf(...shapes),
        macs: [macsOfNode(original, node), macsOfNode(graph, now)],
        bytes: [weightBytes(original, node), weightBytes(graph, now)],
        zeros: [zerosOf(original, node), zerosOf(graph, now)],
      },
    ];
  });
}
