/** @file x * sigmoid(alpha * x). */
import type { FloatAttrs } from "./factory.ts";
import { scalarOp } from "./unary-op.ts";

export interface SwishAttrs extends FloatAttrs {
  readonly alpha: number;
}

export const swish = scalarOp<SwishAttrs>("swish", [{ alpha: 1 }, { alpha: 1.702 }]);
