/** @file e to the power x. */
import { call } from "../../kernel/build.ts";
import { mathOp } from "./unary-op.ts";

export const exp = mathOp("exp", Math.exp, (x) => call("exp", x));
