/** @file Sine. */
import { call } from "../../kernel/build.ts";
import { mathOp } from "./unary-op.ts";

export const sin = mathOp("sin", Math.sin, (x) => call("sin", x));
