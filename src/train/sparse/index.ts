/** @file Sparse training: masks that change between steps. */
export { type GradualOptions, gradualPruning } from "./gradual.ts";
