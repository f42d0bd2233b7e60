/** @file Sparse training as one choice: what the step is made with, and what happens between steps. */
import {
  fullMasks,
  type LayerWeights,
  layerWeights,
  type Masks,
  magnitudeMasks,
  nmMasks,
} from "../../compress/sparsity/index.ts";
import type { Graph } from "../../graph/graph.ts";
import { hooksInTurn, type StateHook } from "../between.ts";
import { parametersOf } from "../parameters.ts";
import type { StepOptions, TrainingStep } from "../step.ts";
import { type GradualOptions, gradualPruning } from "./gradual.ts";
import { type MovementOptions, movementPruning } from "./movement.ts";
import { type RegrowOptions, regrowth } from "./regrow.ts";

export type SparseMethod =
  /** Masks that are given, of parameters by name; with `regrow` they move. */
  | { readonly kind: "fixed"; readonly masks: Masks; readonly regrow?: RegrowOptions }
  /** The smallest weights go while training; with `regrow` some come back (GraNet, arXiv:2106.10404). */
  | ({ readonly kind: "gradual"; readonly regrow?: RegrowOptions } & GradualOptions)
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

type MakeHook = (training: TrainingStep) => StateHook;

/** Masks that the first hook changes, and that then move. */
function moving(masks: Masks, regrow?: RegrowOptions, first?: MakeHook): SparseTraining {
  const moves: MakeHook | undefined = regrow && ((training) => regrowth(training, regrow));
  const hooks = [first, moves].filter((hook) => hook !== undefined);
  const byGradient = regrow !== undefined && regrow.grow !== "random";
  return {
    step: { masks, ...(byGradient && { maskUpdate: { kind: "gradients" } }) },
    between:
      hooks.length === 0 ? null : (training) => hooksInTurn(...hooks.map((make) => make(training))),
  };
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
    case "fixed":
      return moving(method.masks, method.regrow);
    case "gradual": {
      const { kind: _, regrow, ...schedule } = method;
      const grow: MakeHook = (training) => gradualPruning(training, schedule);
      return moving(fullMasks(weights), regrow, grow);
    }
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
      const { kind: _, sparsity, ...regrow } = method;
      return moving(magnitudeMasks(weights, { sparsity, scope: "layer" }), regrow);
    }
  }
}
