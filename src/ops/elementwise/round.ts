/** @file Rounds to the nearest integer, halves to even. */
import * as k from "../../kernel/build.ts";
import { roundHalfEven } from "../../util/math.ts";
import { FLOATS } from "./factory.ts";
import { unaryOp } from "./unary-op.ts";

export const round = unaryOp({
  name: "round",
  dtypes: FLOATS,
  js: (x) => (Number.isFinite(x) ? roundHalfEven(x) : x),
  expr: (x) => k.unary("nearest", x),
  exact: true,
  attrs: [{}],
});
