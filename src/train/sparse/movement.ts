/** @file Movement pruning (Sanh et al., arXiv:2005.07683) as a hook of the loop. */
import {
  type GradualSchedule,
  gradualSparsity,
  isPruningStep,
  masksByScores,
  type ScoreOptions,
} from "../../compress/sparsity/index.ts";
import type { StateHook } from "../between.ts";
import { replaceMasks } from "../masks.ts";
import type { TrainingStep } from "../step.ts";
import { scoreName } from "./update.ts";
import { maskedWeights, stateOf } from "./weights.ts";

/** When masks change, and among which weights the lowest scores are sought. */
export type MovementOptions = GradualSchedule & Omit<ScoreOptions, "sparsity">;

/**
 * A hook that keeps the weights of the highest scores, at the sparsity of the schedule; as for `gradualPruning`. What is
 * gone comes back with the value it had when its score rises. The step needs masks and `maskUpdate` "movement".
 */
export const movementPruning =
  (
    training: Pick<TrainingStep, "model">,
    { scope, grain = "single", ...schedule }: MovementOptions,
  ): StateHook =>
  ({ step, state }) => {
    if (!isPruningStep(schedule, step)) return null;
    const now = state();
    const weights = maskedWeights(training, now);
    const scores = new Map(
      weights.map(({ name }) => [name, stateOf(now, scoreName(name), "movement") as Float32Array]),
    );
    const sparsity = gradualSparsity(schedule, step);
    return replaceMasks(now, masksByScores(weights, scores, { sparsity, scope, grain }));
  };
