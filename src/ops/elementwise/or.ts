/** @file Logical or of bool. */
import * as k from "../../kernel/build.ts";
import { binaryOp } from "./binary-op.ts";

export const or = binaryOp({
  name: "or",
  dtypes: ["bool"],
  js: (x, y) => x | y,
  expr: (x, y) => k.binary("or", x, y),
  attrs: [{}],
});
