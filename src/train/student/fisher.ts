/**
 * @file Fisher potential (Turner et al., arXiv:1906.04113; Theis et al., arXiv:1801.05787): how much the loss of one
 * minibatch depends on the channels of a value, of a network that need not be trained.
 */
import { gradients } from "../../autodiff/backward.ts";
import { Calc, num } from "../../autodiff/calc.ts";
import { inlineGraph, sameInputs } from "../../autodiff/inline.ts";
import { isFused, unfused } from "../../autodiff/unfuse.ts";
import { type Graph, GraphBuilder, isOp, type Value } from "../../graph/graph.ts";
import { batchNorm } from "../../ops/nn/batch-norm.ts";
import { batchNormTraining } from "../../ops/nn/batch-norm-training.ts";
import { tensorType } from "../../tensor/tensor.ts";
import { crossEntropy } from "../losses.ts";
import { logitsOf, valueNamed } from "../network.ts";

/** A value with channels, by name: [batch, channels], [batch, height, width, channels] or channels second. */
export interface Probe {
  readonly name: string;
  readonly layout: "nhwc" | "nchw";
}

/** The nodes of `model` in `g`, normalising by the batch. */
const forward = (g: GraphBuilder, model: Graph): ((v: Value) => Value) =>
  inlineGraph(g, model, sameInputs(g, model), (node) => {
    if (isOp(node, batchNorm)) {
      const { layout, epsilon } = node.attrs;
      return g.applyAll(batchNormTraining, node.ins.slice(0, 3), { layout, epsilon }, node.name);
    }
    if (isFused(node)) return [unfused(g, node)];
    return g.applyAll(node.op, node.ins, node.attrs, node.name);
  }).value;

/**
 * A graph of the model's inputs and "target" [batch, classes], distributions over classes. Its output i [channels]: for
 * each channel of probe i half the mean over rows of the squared sum over positions of activation times gradient of the
 * mean cross-entropy. Weights stay as they are, batch normalisation is by the batch.
 */
export function fisherGraph(model: Graph, probes: readonly Probe[]): Graph {
  const g = new GraphBuilder(`${model.name}-fisher`);
  const at = forward(g, model);
  const logits = logitsOf({ graph: model, at });
  const { dtype, shape } = g.typeOf(logits);
  const target = g.input("target", tensorType(dtype, shape));
  const values = probes.map(({ name }) => at(valueNamed(model, name)));
  const found = gradients(g, crossEntropy(g, logits, target), values);
  const c = new Calc(g);
  for (const [i, { name, layout }] of probes.entries()) {
    const product = c.mul(values[i]!, found[i]!);
    const rank = c.shape(product).length;
    const channel = layout === "nhwc" ? rank - 1 : 1;
    const positions = c
      .shape(product)
      .flatMap((_, axis) => (axis === 0 || axis === channel ? [] : [axis]));
    const sums = c.sum(product, positions);
    const squares = c.sum(c.mul(sums, sums), [0]);
    g.output(c.mul(squares, num(0.5 / c.shape(product)[0]!)), `${i}:${name}`);
  }
  return g.build();
}
