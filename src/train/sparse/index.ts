/** @file Sparse training: masks that change within steps and between them. */
export { type GradualOptions, gradualPruning } from "./gradual.ts";
export { type MovementOptions, movementPruning } from "./movement.ts";
export { type SparseMethod, type SparseTraining, sparseTraining } from "./plan.ts";
export { type RegrowOptions, regrowFraction, regrowth } from "./regrow.ts";
export { gradientName, LAMBDA, type MaskUpdate, scoreName } from "./update.ts";
