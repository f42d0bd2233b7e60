/** @file ONNX losses, decomposed into core operators. */
import type { Value } from "../../../graph/graph.ts";
import { type Importer, type ImportTable, malformed, type OpContext } from "../context.ts";
import { core } from "../core.ts";
import { num } from "../emit.ts";

/** The negative log likelihood of the targets, weighted and reduced. Classes run along axis 1. */
function negativeLogLikelihood(c: OpContext, logProbability: Value): Value {
  const { e } = c;
  const dtype = e.dtype(logProbability);
  const target = c.in(1);
  const weight = c.optional(2);
  const ignore = c.attrs.has("ignore_index") ? c.attrs.int("ignore_index", 0) : undefined;
  const ignored = ignore === undefined ? undefined : e.equal(target, num(ignore));
  const safe = ignored === undefined ? target : e.where(ignored, num(0), target);
  const taken = e.apply(core.gather_elements, [logProbability, e.unsqueeze(safe, [1])], {
    axis: 1,
  });
  const loss = e.unary(core.neg, e.reshape(taken, e.shape(target)));
  let scale = weight === undefined ? undefined : e.apply(core.gather, [weight, safe], { axis: 0 });
  if (ignored !== undefined) {
    scale = e.where(ignored, e.scalar(dtype, 0), scale ?? e.scalar(dtype, 1));
  }
  const weighted = scale === undefined ? loss : e.mul(loss, scale);
  const all = e.shape(target).map((_, i) => i);
  switch (c.attrs.string("reduction", "mean")) {
    case "none":
      return weighted;
    case "sum":
      return e.sum(weighted, all, false);
    case "mean":
      if (scale === undefined) return e.mean(weighted, all, false);
      return e.div(e.sum(weighted, all, false), e.sum(scale, all, false));
    default:
      throw malformed(`reduction '${c.attrs.string("reduction", "")}'`);
  }
}

const softmaxCrossEntropy: Importer = (c) => {
  const logProbability = c.e.apply(core.log_softmax, [c.in(0)], { axis: 1 });
  return [negativeLogLikelihood(c, logProbability), logProbability];
};

export const lossImports: ImportTable = {
  NegativeLogLikelihoodLoss: (c) => negativeLogLikelihood(c, c.in(0)),
  SoftmaxCrossEntropyLoss: softmaxCrossEntropy,
};
