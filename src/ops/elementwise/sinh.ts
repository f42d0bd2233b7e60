/** @file Hyperbolic sine. */
import { call } from "../../kernel/build.ts";
import { mathOp } from "./unary-op.ts";

export const sinh = mathOp("sinh", Math.sinh, (x) => call("sinh", x));
