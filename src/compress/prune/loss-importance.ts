/**
 * @file How much the units of channel groups matter to a loss, by gradients on data. Sources: first-order Taylor,
 * Molchanov et al., arXiv:1906.10771; Fisher, Theis et al., arXiv:1801.05787, as used by Crowley et al.,
 * arXiv:1810.04622.
 */
import { gradients } from "../../autodiff/backward.ts";
import { inlineGraph, sameInputs } from "../../autodiff/inline.ts";
import { type Executor, type Graph, GraphBuilder, type Value } from "../../graph/graph.ts";
import { mul } from "../../ops/elementwise/mul.ts";
import { reduceSum } from "../../ops/reduce/index.ts";
import { numberReader, type Tensor, tensorType } from "../../tensor/tensor.ts";
import { UserError } from "../../util/errors.ts";
import type { ChannelGroup, GroupValue } from "./groups.ts";
import { type Importance, isWeight, meanOf, sumUnits } from "./importance.ts";

export const LOSS_CRITERIA = ["taylor", "fisher"] as const;
export type LossCriterion = (typeof LOSS_CRITERIA)[number];

type LossBatches = Iterable<Readonly<Record<string, Tensor>>>;
type AsyncLossBatches = AsyncIterable<Readonly<Record<string, Tensor>>>;

/** What gradients are taken of, and on which data. */
export interface LossData {
  /** The mean of the loss over the rows of a batch. */
  loss(input: {
    readonly g: GraphBuilder;
    /** The model's outputs by name. */
    readonly outputs: Readonly<Record<string, Value>>;
    /** Any value of the model. */
    readonly student: { readonly graph: Graph; at(v: Value): Value };
    /** An input beside the model's own, such as targets; f32. */
    input(name: string, shape: readonly number[]): Value;
  }): Value;
  /** Batches: tensors by the names of the model's and the loss's inputs. */
  readonly batches: LossBatches | AsyncLossBatches;
  /** Runs the graph of gradients. */
  readonly executor: Executor;
}

/** A graph of one output for each of `sources`, with the names of its inputs in order. */
interface GradientGraph {
  readonly graph: Graph;
  readonly inputs: readonly string[];
}

/** The graph of what `output` makes of each source (a value of the model) and its gradient. */
function gradientGraph(
  model: Graph,
  data: LossData,
  sources: readonly Value[],
  output: (g: GraphBuilder, source: Value, gradient: Value, i: number) => Value,
): GradientGraph {
  const g = new GraphBuilder(`${model.name}-gradients`);
  const names = model.inputs.map((v) => model.values.get(v)!.name);
  const { outs, value } = inlineGraph(g, model, sameInputs(g, model));
  const loss = data.loss({
    g,
    outputs: Object.fromEntries(outs.map((v, i) => [model.outputNames[i]!, v])),
    student: { graph: model, at: value },
    input: (name, shape) => {
      names.push(name);
      return g.input(name, tensorType("f32", shape));
    },
  });
  const own = sources.map(value);
  const found = gradients(g, loss, own);
  own.forEach((v, i) => g.output(output(g, v, found[i]!, i), `gradient${i}`));
  return { graph: g.build(), inputs: names };
}

/** Runs the graph on all batches; calls `body` with the results of each. Returns the number of batches. */
async function overBatches(
  { graph, inputs }: GradientGraph,
  data: LossData,
  body: (outs: readonly Tensor[]) => void,
): Promise<number> {
  let count = 0;
  for await (const batch of data.batches) {
    const feeds = inputs.map((name) => {
      const t = batch[name];
      if (t !== undefined) return t;
      throw new UserError("E_DATA", `a batch has no '${name}'`, {
        hint: `it needs ${inputs.map((n) => `'${n}'`).join(", ")}`,
      });
    });
    body(await data.executor(graph, feeds));
    count++;
  }
  if (count === 0) throw new UserError("E_DATA", "there are no batches to take gradients of");
  return count;
}

/** Gradients of the loss by constants, means over the batches. Normalisations use their running averages. */
export async function weightGradients(
  graph: Graph,
  constants: readonly Value[],
  data: LossData,
): Promise<readonly Float64Array[]> {
  const made = gradientGraph(graph, data, constants, (_, __, gradient) => gradient);
  const sums = constants.map((v) => new Float64Array(graph.constants.get(v)!.data.length));
  const count = await overBatches(made, data, (outs) => {
    outs.forEach((t, i) => {
      const read = numberReader(t);
      for (let k = 0; k < sums[i]!.length; k++) sums[i]![k]! += read(k);
    });
  });
  return sums.map((sum) => sum.map((x) => x / count));
}

/** Sums of |w dL/dw| over a unit's weights, the mean over the group's layers; gradients are means over batches. */
async function taylor(
  graph: Graph,
  groups: readonly ChannelGroup[],
  data: LossData,
): Promise<Importance> {
  const weights = groups.map((group) => group.operands.filter((o) => isWeight(o, graph)));
  const sources = [...new Set(weights.flat().map((o) => o.node.ins[o.position]!))];
  const means = await weightGradients(graph, sources, data);
  const at = new Map(sources.map((v, i) => [v, i]));
  return new Map(
    groups.map((group, n) => {
      const lists = weights[n]!.map((o) => {
        const v = o.node.ins[o.position]!;
        const t = graph.constants.get(v)!;
        const [read, mean] = [numberReader(t), means[at.get(v)!]!];
        return sumUnits(o, t.type.shape, (k) => Math.abs(read(k) * mean[k]!));
      });
      return [group.name, meanOf(lists, group)];
    }),
  );
}

/** The values through which the group's channels are read: inputs of layers that sum over them. */
function readValues(group: ChannelGroup): readonly GroupValue[] {
  const readers = group.operands.filter((o) => o.role === "in").map((o) => o.node);
  const read = group.values.filter(({ value }) => readers.some((n) => n.ins.includes(value)));
  const whole = read.filter(({ units }) => units[0]!.length === group.width);
  if (whole.length > 0) return whole;
  return group.values.slice(0, 1);
}

/** Sum of value times gradient over all axes but the first and the channels': [rows, channels]. */
function channelSums(g: GraphBuilder, value: Value, gradient: Value, axis: number): Value {
  const product = g.apply(mul, [value, gradient]);
  const axes = g.typeOf(product).shape.flatMap((_, i) => (i === 0 || i === axis ? [] : [i]));
  if (axes.length === 0) return product;
  return g.apply(reduceSum, [product], { axes, keepDims: false });
}

/** 1 / 2N of the sum over the rows of the square of sum(a dL/da), added up over a unit's channels and values. */
async function fisher(
  graph: Graph,
  groups: readonly ChannelGroup[],
  data: LossData,
): Promise<Importance> {
  const read = groups.map((group) => readValues(group).filter(({ axis }) => axis > 0));
  const sources = read.flat().map(({ value }) => value);
  const axes = read.flat().map(({ axis }) => axis);
  const made = gradientGraph(graph, data, sources, (g, v, gradient, i) =>
    channelSums(g, v, gradient, axes[i]!),
  );
  const scores = groups.map((group) => new Float64Array(group.count));
  const count = await overBatches(made, data, (outs) => {
    let at = 0;
    groups.forEach((_, n) => {
      for (const { units } of read[n]!) addFisher(scores[n]!, outs[at++]!, units);
    });
  });
  return new Map(groups.map((group, n) => [group.name, scores[n]!.map((x) => x / count)]));
}

/** The loss is a mean over N rows, so a row's gradient is N times that given. */
function addFisher(scores: Float64Array, t: Tensor, units: GroupValue["units"]): void {
  const [rows, channels] = t.type.shape as [number, number];
  const get = numberReader(t);
  units.forEach((indices, u) => {
    for (let r = 0; r < rows; r++) {
      for (const c of indices) scores[u]! += (rows * get(r * channels + c)) ** 2 / (2 * rows);
    }
  });
}

/**
 * The importance of every unit to the loss on the given batches. The model's first axis is the batch. Numbers are in
 * units of the loss (Taylor) or its square (Fisher), so groups compare as they are.
 */
export const lossImportance = (
  graph: Graph,
  groups: readonly ChannelGroup[],
  criterion: LossCriterion,
  data: LossData,
): Promise<Importance> =>
  criterion === "taylor" ? taylor(graph, groups, data) : fisher(graph, groups, data);
