/** @file x !== y, element by element. */
import * as k from "../../kernel/build.ts";
import { binaryOp } from "./binary-op.ts";
import { ALL } from "./factory.ts";

export const notEqual = binaryOp({
  name: "not_equal",
  dtypes: ALL,
  result: "bool",
  js: (x, y) => (x !== y ? 1 : 0),
  big: (x, y) => (x !== y ? 1n : 0n),
  expr: (x, y) => k.binary("ne", x, y),
  attrs: [{}],
});
