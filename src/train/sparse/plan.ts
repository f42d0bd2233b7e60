/** @file Sparse training as one choice: what the step is made with, and what happens between steps. */
import {
  fullMasks,
  type LayerWeights,
  layerWeights,
  magnitudeMasks,
  nmMasks,
} from "../../compress/sparsity/index.ts";
import type { Graph } from "../../graph/graph.ts";
import type { StateHook } from "../between.ts";
import { parametersOf } from "../parameters.ts";
import type { StepOptions, TrainingStep } from "../step.ts";
import { type GradualOptions, gradualPruning } from "./gradual.ts";
import { type MovementOptions, movementPruning } from "./movement.ts";
import { type RegrowOptions, regrowth } from "./regrow.ts";

export type SparseMethod =
  /** The smallest weights go while training. */
  | ({ readonly kind: "gradual" } & GradualOptions)
  /** Those go that moved towards 0: for fine-tuning. */
  | ({ readonly kind: "movement" } & MovementOptions)
  /** n of each m inputs stay, chosen anew in every step (SR-STE). */
  | { readonly kind: "nm"; readonly n: number; readonly m: number; readonly lambda?: number }
  /** A share of weights goes at the start by magnitude, layer by layer; then masks move. */
  | ({ readonly kind: "regrow"; readonly sparsity: number } & RegrowOptions);

export interface SparseTraining {
  /** For `trainingStep`. */
  readonly step: Pick<StepOptions, "masks" | "maskUpdate">;
  /** For `fit`, of the step that was made; null: nothing happens between steps. */
  readonly between: ((training: TrainingStep) => StateHook) | null;
}

/** How to train a model sparsely. `layers`: which weights, by the names of parameters; default all. */
export function sparseTraining(
  model: Graph,
  method: SparseMethod,
  layers: (name: string) => boolean = () => true,
): SparseTraining {
  const weights: readonly LayerWeights[] = layerWeights(model, parametersOf(model)).filter((w) =>
    layers(w.name),
  );
  switch (method.kind) {
    case "gradual":
      return {
        step: { masks: fullMasks(weights) },
        between: (training) => gradualPruning(training, method),
      };
    case "movement":
      return {
        step: { masks: fullMasks(weights), maskUpdate: { kind: "movement" } },
        between: (training) => movementPruning(training, method),
      };
    case "nm": {
      const { kind: _, ...how } = method;
      const masks = nmMasks(weights, how.n, how.m);
      return { step: { masks, maskUpdate: { kind: "sr-ste", ...how } }, between: null };
    }
    case "regrow": {
      const { sparsity } = method;
      const random = method.grow === "random";
      return {
        step: {
          masks: magnitudeMasks(weights, { sparsity, scope: "layer" }),
          maskUpdate: { kind: random ? "zero" : "gradients" },
        },
        between: (training) => regrowth(training, method),
      };
    }
  }
}
