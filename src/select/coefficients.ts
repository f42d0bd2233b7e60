/** @file Placeholder until fitted. */
import type { CoefficientTable } from "./costs.ts";

export const DEFAULT_COEFFICIENTS: CoefficientTable = {
  "*/default/f32": [1, 0.25, 200],
  "*/default/i8": [1, 1, 200],
  "*/default/*": [1, 0.5, 200],
  "*/igemm/f32": [0.035, 0.1, 200],
  "*": [0.1, 0.2, 200],
};
