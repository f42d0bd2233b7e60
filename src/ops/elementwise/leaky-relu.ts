/** @file x where x >= 0, else alpha * x. */
import type { FloatAttrs } from "./factory.ts";
import { scalarOp } from "./unary-op.ts";

export interface LeakyReluAttrs extends FloatAttrs {
  readonly alpha: number;
}

export const leakyRelu = scalarOp<LeakyReluAttrs>("leaky_relu", [{ alpha: 0.01 }, { alpha: 0.3 }], {
  exact: true,
});
