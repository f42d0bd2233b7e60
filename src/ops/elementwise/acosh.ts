/** @file Inverse hyperbolic cosine. */
import { call } from "../../kernel/build.ts";
import { mathOp } from "./unary-op.ts";

export const acosh = mathOp("acosh", Math.acosh, (x) => call("acosh", x), [1, 5]);
