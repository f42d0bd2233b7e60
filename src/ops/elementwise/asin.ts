/** @file Arc sine. */
import { call } from "../../kernel/build.ts";
import { mathOp } from "./unary-op.ts";

export const asin = mathOp("asin", Math.asin, (x) => call("asin", x), [-1, 1]);
