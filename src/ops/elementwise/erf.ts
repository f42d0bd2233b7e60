/** @file The error function. */
import { call } from "../../kernel/build.ts";
import { erf as erfOf } from "../special.ts";
import { mathOp } from "./unary-op.ts";

export const erf = mathOp("erf", erfOf, (x) => call("erf", x));
