/** @file x where x > 0, else alpha * (exp(x) - 1). */
import type { FloatAttrs } from "./factory.ts";
import { scalarOp } from "./unary-op.ts";

export interface EluAttrs extends FloatAttrs {
  readonly alpha: number;
}

export const elu = scalarOp<EluAttrs>("elu", [{ alpha: 1 }, { alpha: 0.7 }]);
