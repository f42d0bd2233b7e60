/** @file Cosine. */
import { call } from "../../kernel/build.ts";
import { mathOp } from "./unary-op.ts";

export const cos = mathOp("cos", Math.cos, (x) => call("cos", x));
