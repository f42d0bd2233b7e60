/** @file log(1 + exp(x)). */
import { scalarOp } from "./unary-op.ts";

export const softplus = scalarOp("softplus", [{}]);
