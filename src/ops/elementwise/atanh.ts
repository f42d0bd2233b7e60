/** @file Inverse hyperbolic tangent. */
import { call } from "../../kernel/build.ts";
import { mathOp } from "./unary-op.ts";

export const atanh = mathOp("atanh", Math.atanh, (x) => call("atanh", x), [-0.95, 0.95]);
