/** @file x === y, element by element. */
import * as k from "../../kernel/build.ts";
import { binaryOp } from "./binary-op.ts";
import { ALL } from "./factory.ts";

export const equal = binaryOp({
  name: "equal",
  dtypes: ALL,
  result: "bool",
  js: (x, y) => (x === y ? 1 : 0),
  big: (x, y) => (x === y ? 1n : 0n),
  expr: (x, y) => k.binary("eq", x, y),
  attrs: [{}],
});
