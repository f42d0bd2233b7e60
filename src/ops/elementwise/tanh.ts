/** @file Hyperbolic tangent. */
import { scalarOp } from "./unary-op.ts";

export const tanh = scalarOp("tanh", [{}]);
