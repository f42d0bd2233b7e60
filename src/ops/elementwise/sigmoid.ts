/** @file 1 / (1 + exp(-x)). */
import { scalarOp } from "./unary-op.ts";

export const sigmoid = scalarOp("sigmoid", [{}]);
