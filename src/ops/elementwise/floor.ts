/** @file Largest integer not above x. */
import * as k from "../../kernel/build.ts";
import { FLOATS } from "./factory.ts";
import { unaryOp } from "./unary-op.ts";

export const floor = unaryOp({
  name: "floor",
  dtypes: FLOATS,
  js: (x) => Math.floor(x),
  expr: (x) => k.unary("floor", x),
  exact: true,
  attrs: [{}],
});
