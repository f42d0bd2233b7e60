/** @file Sparse training in `tersor train`: masks before the first step, or masks that grow. */
import { fullMasks, layerWeights, type Masks } from "../src/compress/sparsity/index.ts";
import type { Graph } from "../src/graph/graph.ts";
import { magnitudesOf, pruneMethod, type WeightMethod, weightMasks } from "../src/prune.ts";
import type { StateHook } from "../src/train/between.ts";
import type { SparsityConfig } from "../src/train/config.ts";
import { parametersOf, withOwnParameters } from "../src/train/parameters.ts";
import { gradualPruning } from "../src/train/sparse/index.ts";
import type { TrainingStep } from "../src/train/step.ts";
import { UserError } from "../src/util/errors.ts";
import type { TrainSettings } from "./train-config.ts";

/** What a training step needs to stay sparse. */
export interface SparseTraining {
  readonly masks: Masks;
  readonly hook?: (step: TrainingStep) => StateHook;
}

const refuse = (key: string, message: string, hint: string): never => {
  throw new UserError("E_CONFIG", `sparsity${key}: ${message}`, { hint });
};

/** The method of a configuration, with the share that goes. */
function methodOf({ method: text, ratio, gradual }: SparsityConfig) {
  const found = pruneMethod(text);
  if (found === null || found.kind === "channels") {
    const hint = "magnitude, magnitude-layer, lamp, blocks, or nm=2:4";
    return refuse(".method", `'${text}' sets no weights to 0`, hint);
  }
  if (found.kind === "weights" && ratio === undefined) {
    return refuse(".ratio", "missing", "the share of the weights that goes, 0 to 1");
  }
  if (found.kind === "nm" && (ratio !== undefined || gradual !== undefined)) {
    return refuse(".method", `'${text}' says itself how much goes, at once`, "leave out the rest");
  }
  return { method: found satisfies WeightMethod, share: ratio ?? 0 };
}

/** Times of the configuration are epochs. */
function scheduleOf(
  { begin = 0, end, every }: NonNullable<SparsityConfig["gradual"]>,
  perEpoch: number,
  steps: number,
) {
  const first = Math.round(begin * perEpoch);
  const last = end === undefined ? Math.round((2 * steps) / 3) : Math.round(end * perEpoch);
  if (last <= first || last > steps) {
    const asked = `from step ${first} to ${last} of ${steps}`;
    return refuse(".gradual", asked, "end after it begins, within the run");
  }
  return { begin: first, end: last, every: every ?? Math.max(1, Math.round((last - first) / 20)) };
}

/** null: all weights are trained. `trains`: which parameters learn; null: all. */
export function sparseTraining(
  { sparsity, quantize }: Pick<TrainSettings, "sparsity" | "quantize">,
  model: Graph,
  trains: ((name: string) => boolean) | null,
  run: { readonly perEpoch: number; readonly steps: number },
): SparseTraining | null {
  if (sparsity === undefined) return null;
  if (quantize !== undefined) {
    return refuse("", "not together with quantize", "train sparse first, then quantise the result");
  }
  const { method, share } = methodOf(sparsity);
  const own = withOwnParameters(model);
  const all = layerWeights(own, parametersOf(own));
  const weights = all.filter(({ name }) => trains === null || trains(name));
  if (weights.length === 0) {
    return refuse("", `${model.name} has no weights to prune`, "leave it out");
  }
  const { gradual } = sparsity;
  if (gradual === undefined || method.kind === "nm") {
    return { masks: weightMasks(method, weights, share) };
  }
  const schedule = { ...scheduleOf(gradual, run.perEpoch, run.steps), final: share };
  return {
    masks: fullMasks(weights),
    hook: (step) => gradualPruning(step, { ...schedule, ...magnitudesOf(method) }),
  };
}
