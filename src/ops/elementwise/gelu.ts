/** @file x times the normal distribution function of x, exact or by tanh. */
import type { FloatAttrs } from "./factory.ts";
import { scalarOp } from "./unary-op.ts";

export interface GeluAttrs extends FloatAttrs {
  readonly approximate: "none" | "tanh";
}

export const gelu = scalarOp<GeluAttrs>("gelu", [{ approximate: "none" }, { approximate: "tanh" }]);
