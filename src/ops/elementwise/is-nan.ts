/** @file Whether each element is NaN. */
import * as k from "../../kernel/build.ts";
import { FLOATS } from "./factory.ts";
import { unaryOp } from "./unary-op.ts";

export const isNan = unaryOp({
  name: "is_nan",
  dtypes: FLOATS,
  result: "bool",
  js: (x) => (Number.isNaN(x) ? 1 : 0),
  expr: (x) => k.binary("ne", x, x),
  attrs: [{}],
  values: [Number.NaN, 1, Number.POSITIVE_INFINITY, 0],
});
