/** @file Tangent. */
import { call } from "../../kernel/build.ts";
import { mathOp } from "./unary-op.ts";

export const tan = mathOp("tan", Math.tan, (x) => call("tan", x), [-1.2, 1.2]);
