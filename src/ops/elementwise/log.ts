/** @file Natural logarithm. */
import { call } from "../../kernel/build.ts";
import { mathOp } from "./unary-op.ts";

export const log = mathOp("log", Math.log, (x) => call("log", x), [0.05, 4]);
