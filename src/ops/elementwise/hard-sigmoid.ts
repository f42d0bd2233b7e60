/** @file alpha * x + beta clamped to [0, 1]. */
import type { FloatAttrs } from "./factory.ts";
import { scalarOp } from "./unary-op.ts";

export interface HardSigmoidAttrs extends FloatAttrs {
  readonly alpha: number;
  readonly beta: number;
}

export const hardSigmoid = scalarOp<HardSigmoidAttrs>(
  "hard_sigmoid",
  [
    { alpha: 0.2, beta: 0.5 },
    { alpha: 1 / 6, beta: 0.5 },
  ],
  { exact: true, range: [-4, 4] },
);
