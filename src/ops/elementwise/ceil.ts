/** @file Smallest integer not below x. */
import * as k from "../../kernel/build.ts";
import { FLOATS } from "./factory.ts";
import { unaryOp } from "./unary-op.ts";

export const ceil = unaryOp({
  name: "ceil",
  dtypes: FLOATS,
  js: (x) => Math.ceil(x),
  expr: (x) => k.unary("ceil", x),
  exact: true,
  attrs: [{}],
});
