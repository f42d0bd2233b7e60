/** @file Rounds to the nearest integer, halves to even. */
import * as k from "../../kernel/build.ts";
import { roundHalfEven } from "../../util/math.ts";
import { FLOATS } from "./factory.ts";
import { unaryOp } from "./unary-op.ts";

export const round = unaryOp({
  name: "round",
  dtypes: FLOATS,
  js: (x) => {
    if (!Number.isFinite(x)) return x;
    const y = roundHalfEven(Math.abs(x));
    return x < 0 || Object.is(x, -0) ? -y : y;
  },
  expr: (x) => k.unary("nearest", x),
  exact: true,
  attrs: [{}],
  range: [-4, 4],
});
