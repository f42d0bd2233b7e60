/** @file Gradual pruning while training (Zhu & Gupta, arXiv:1710.01878) as a hook of the loop. */
import {
  type GradualSchedule,
  gradualSparsity,
  isPruningStep,
  type MagnitudeOptions,
  magnitudeMasks,
} from "../../compress/sparsity/index.ts";
import type { StateHook } from "../between.ts";
import { withMasks } from "../masks.ts";
import type { TrainingStep } from "../step.ts";
import { maskedWeights } from "./weights.ts";

/** When masks grow, and by which magnitudes. */
export type GradualOptions = GradualSchedule & Omit<MagnitudeOptions, "sparsity">;

/**
 * A hook that takes the smallest of the masked weights away as the schedule says; its steps are steps done, so that
 * `begin` 0 prunes before the first and `end` may be the number of all steps. What is gone is 0 and stays the
 * smallest. Give the step masks of ones (`fullMasks`).
 */
export const gradualPruning =
  (
    training: Pick<TrainingStep, "model">,
    { scope, grain = "single", ...schedule }: GradualOptions,
  ): StateHook =>
  ({ step, state }) => {
    if (!isPruningStep(schedule, step)) return null;
    const now = state();
    const sparsity = gradualSparsity(schedule, step);
    return withMasks(now, magnitudeMasks(maskedWeights(training, now), { sparsity, scope, grain }));
  };
