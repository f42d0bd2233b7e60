/** @file Inverse hyperbolic sine. */
import { call } from "../../kernel/build.ts";
import { mathOp } from "./unary-op.ts";

export const asinh = mathOp("asinh", Math.asinh, (x) => call("asinh", x));
