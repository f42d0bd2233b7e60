/** @file Arc cosine. */
import { call } from "../../kernel/build.ts";
import { mathOp } from "./unary-op.ts";

export const acos = mathOp("acos", Math.acos, (x) => call("acos", x), [-1, 1]);
