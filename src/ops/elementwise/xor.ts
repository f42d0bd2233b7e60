/** @file Logical xor of bool. */
import * as k from "../../kernel/build.ts";
import { binaryOp } from "./binary-op.ts";

export const xor = binaryOp({
  name: "xor",
  dtypes: ["bool"],
  js: (x, y) => x ^ y,
  expr: (x, y) => k.binary("xor", x, y),
  attrs: [{}],
});
