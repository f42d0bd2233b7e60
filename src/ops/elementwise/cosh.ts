/** @file Hyperbolic cosine. */
import { call } from "../../kernel/build.ts";
import { mathOp } from "./unary-op.ts";

export const cosh = mathOp("cosh", Math.cosh, (x) => call("cosh", x));
