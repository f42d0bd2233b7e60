/** @file Logical and of bool. */
import * as k from "../../kernel/build.ts";
import { binaryOp } from "./binary-op.ts";

export const and = binaryOp({
  name: "and",
  dtypes: ["bool"],
  js: (x, y) => x & y,
  expr: (x, y) => k.binary("and", x, y),
  attrs: [{}],
});
