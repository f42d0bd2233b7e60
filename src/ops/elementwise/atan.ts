/** @file Arc tangent. */
import { call } from "../../kernel/build.ts";
import { mathOp } from "./unary-op.ts";

export const atan = mathOp("atan", Math.atan, (x) => call("atan", x));
