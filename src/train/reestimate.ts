/**
 * @file Running averages of batch normalisations computed anew, for models whose weights or structure were changed: all
 * of them normalise by the batch, and what they see is averaged exactly.
 */
import { inlineGraph, sameInputs } from "../autodiff/inline.ts";
import type { Batches } from "../compress/quantize/calibrate.ts";
import { type Executor, type Graph, GraphBuilder, isOp, type Node } from "../graph/graph.ts";
import { rewrite } from "../graph/rewrite.ts";
import { batchNorm } from "../ops/nn/batch-norm.ts";
import { batchNormTraining } from "../ops/nn/batch-norm-training.ts";
import { elementCount, tensorOf, toNumbers } from "../tensor/tensor.ts";
import { UserError } from "../util/errors.ts";

/** The sums of one batch normalisation. */
interface Sums {
  readonly mean: Float64Array;
  readonly variance: Float64Array;
  /** What makes the biased variance of a batch unbiased. */
  readonly correction: number;
}

/** The graph that normalises by the batch and gives the mean and biased variance of each. */
function statistics(graph: Graph, norms: readonly Node[]): Graph {
  const g = new GraphBuilder(`${graph.name}-statistics`);
  inlineGraph(g, graph, sameInputs(g, graph), (node, original) => {
    if (!isOp(node, batchNorm) || !norms.includes(original)) {
      return g.applyAll(node.op, node.ins, node.attrs, node.name);
    }
    const { layout, epsilon } = node.attrs;
    const own = g.applyAll(batchNormTraining, node.ins.slice(0, 3), { layout, epsilon }, node.name);
    g.output(own[1]!, `mean${original.outs[0]}`);
    g.output(own[2]!, `variance${original.outs[0]}`);
    return own;
  });
  return g.build();
}

/** Whether mean and variance are constants, which can be replaced. */
const hasAverages = (g: Graph, node: Node): boolean =>
  isOp(node, batchNorm) && node.ins.slice(3).every((v) => g.constants.has(v));

/**
 * The model with the running means and variances that are the averages over the batches: of the means, and of the
 * unbiased variances (as PyTorch's `momentum=None`). `batches`: model inputs, one tensor an input, at least one batch; 50
 * to 200 of them are usual. Throws UserError E_MODEL when there is no batch normalisation, E_DATA when there are no data.
 */
export async function reestimateBatchNorm(
  graph: Graph,
  batches: Batches,
  executor: Executor,
): Promise<Graph> {
  const norms = graph.nodes.filter((node) => hasAverages(graph, node));
  if (norms.length === 0) {
    throw new UserError("E_MODEL", `${graph.name} has no batch normalisation`, {
      hint: "the clean-up folds them into convolutions: use the model before it",
    });
  }
  const runs = statistics(graph, norms);
  const sums = norms.map((node): Sums => {
    const [x, gamma] = node.ins.map((v) => elementCount(graph.values.get(v)!.type.shape));
    const count = x! / gamma!;
    return {
      mean: new Float64Array(gamma!),
      variance: new Float64Array(gamma!),
      correction: count / Math.max(1, count - 1),
    };
  });
  let seen = 0;
  for await (const feeds of batches) {
    const outs = (await executor(runs, feeds)).map(toNumbers);
    sums.forEach((s, i) => {
      for (let c = 0; c < s.mean.length; c++) {
        s.mean[c]! += outs[2 * i]![c]!;
        s.variance[c]! += outs[2 * i + 1]![c]! * s.correction;
      }
    });
    seen++;
  }
  if (seen === 0) {
    throw new UserError("E_DATA", "no batches were given", {
      hint: "give some tens of batches of training data",
    });
  }
  return rewrite(graph, (node, ctx) => {
    const s = sums[norms.indexOf(node)];
    if (s === undefined) return null;
    const { dtype } = ctx.typeOf(node.ins[3]!);
    const averages = [s.mean, s.variance].map((sum, i) => {
      const name = graph.values.get(node.ins[3 + i]!)!.name;
      const tensor = tensorOf(
        dtype,
        [sum.length],
        sum.map((x) => x / seen),
      );
      return ctx.builder.constant(tensor, name);
    });
    const ins = [...node.ins.slice(0, 3).map(ctx.value), ...averages];
    return ctx.builder.applyAll(node.op, ins, node.attrs, node.name);
  });
}
