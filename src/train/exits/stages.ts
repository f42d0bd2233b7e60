/**
 * @file A network with early exits as a chain of graphs: the first up to exit 1, the next from there to exit 2, and so
 * on. Each gives its prediction, and the features that later ones read.
 */
import { macsOf } from "../../graph/count.ts";
import {
  type Graph,
  GraphBuilder,
  isOp,
  type Node,
  typeOf,
  type Value,
} from "../../graph/graph.ts";
import { dequantize } from "../../ops/quant/dequantize.ts";
import { softmax } from "../../ops/reduce/index.ts";
import { cleanGraph } from "../../pipeline.ts";
import { UserError } from "../../util/errors.ts";
import { withBatch } from "../with-batch.ts";
import { exitsOf } from "./branches.ts";

/** One stage, for single rows. Inputs are the model's, or features by the names earlier stages give them. */
export interface Stage {
  readonly graph: Graph;
  /** Multiply-accumulates of this stage and of all before it. */
  readonly macs: number;
}

export interface Stages {
  readonly list: readonly Stage[];
  /** Name of the prediction, the same in every stage. */
  readonly output: string;
  /** The predictions are probabilities, not logits. */
  readonly probabilities: boolean;
}

/** Nodes that `target` depends on, without those done. */
function ancestors(graph: Graph, target: Value, done: ReadonlySet<Node>): Set<Node> {
  const wanted = new Set<Value>([target]);
  const found = new Set<Node>();
  for (const node of [...graph.nodes].reverse()) {
    if (done.has(node) || !node.outs.some((v) => wanted.has(v))) continue;
    found.add(node);
    for (const v of node.ins) wanted.add(v);
  }
  return found;
}

/** The nodes of each exit that no earlier exit has. */
function shares(graph: Graph, targets: readonly Value[]): readonly (readonly Node[])[] {
  const done = new Set<Node>();
  return targets.map((target) => {
    const own = ancestors(graph, target, done);
    for (const node of own) done.add(node);
    return graph.nodes.filter((n) => own.has(n));
  });
}

interface Part {
  readonly nodes: readonly Node[];
  readonly target: Value;
  /** Values of this part that later parts read. */
  readonly carried: readonly Value[];
}

const variables = (graph: Graph, nodes: readonly Node[]): Set<Value> =>
  new Set(nodes.flatMap((n) => n.ins).filter((v) => !graph.constants.has(v)));

function partsOf(graph: Graph, targets: readonly Value[]): readonly Part[] {
  const all = shares(graph, targets);
  return all.map((nodes, i) => {
    const later = variables(graph, all.slice(i + 1).flat());
    const carried = nodes.flatMap((n) => n.outs).filter((v) => later.has(v));
    return { nodes, target: targets[i]!, carried };
  });
}

function buildPart(
  graph: Graph,
  { nodes, target, carried }: Part,
  nameOf: (v: Value) => string,
  output: string,
  softened: boolean,
): Graph {
  const g = new GraphBuilder(graph.name);
  const map = new Map<Value, Value>();
  const made = new Set(nodes.flatMap((n) => n.outs));
  for (const v of variables(graph, nodes)) {
    if (!made.has(v)) map.set(v, g.input(nameOf(v), typeOf(graph, v)));
  }
  const value = (v: Value): Value => {
    const known = map.get(v) ?? g.constant(graph.constants.get(v)!, graph.values.get(v)!.name);
    map.set(v, known);
    return known;
  };
  for (const node of nodes) {
    const outs = g.applyAll(node.op, node.ins.map(value), node.attrs, node.name);
    node.outs.forEach((v, i) => map.set(v, outs[i]!));
  }
  const y = value(target);
  g.output(softened ? g.apply(softmax, [y], { axis: 1 }) : y, output);
  for (const v of carried) g.output(value(v), nameOf(v));
  return g.build();
}

/** Is it what a softmax gives, or the reals of quantised probabilities? */
function isSoftened(graph: Graph, v: Value): boolean {
  const producer = graph.nodes.find((n) => n.outs.includes(v));
  if (producer === undefined) return false;
  return (
    isOp(producer, softmax) || (isOp(producer, dequantize) && isSoftened(graph, producer.ins[0]!))
  );
}

/**
 * Cuts a network with exits. Every stage is clean and has single rows. Throws UserError when the graph has no exits, or
 * depends on its number of rows.
 */
export function exitStages(model: Graph): Stages {
  const graph = withBatch(model, 1);
  const exits = exitsOf(graph);
  if (exits.length === 0) {
    throw new UserError("E_MODEL", `${graph.name} has no early exits`, {
      hint: "withExits adds them; then train it with exitLoss",
    });
  }
  const output = graph.outputNames[0]!;
  const last = graph.outputs[0]!;
  const at = (name: string): Value => graph.outputs[graph.outputNames.indexOf(name)]!;
  const probabilities = isSoftened(graph, last);
  const parts = partsOf(graph, [...exits.map((e) => at(e.name)), last]);
  const features = parts.flatMap((p) => p.carried);
  const nameOf = (v: Value): string =>
    graph.inputs.includes(v) ? graph.values.get(v)!.name : `feature${features.indexOf(v)}`;
  let macs = 0;
  const list = parts.map((part, i): Stage => {
    const softened = probabilities && i < exits.length;
    const stage = cleanGraph(buildPart(graph, part, nameOf, output, softened));
    macs += macsOf(stage);
    return { graph: stage, macs };
  });
  return { list, output, probabilities };
}
