/** @file Quotient; integers truncate toward zero and division by zero gives 0. */
import * as k from "../../kernel/build.ts";
import { isFloat } from "../../tensor/dtype.ts";
import { binaryOp } from "./binary-op.ts";
import { NUMBERS } from "./factory.ts";
import { truncatedQuotient } from "./integer-expr.ts";

export const div = binaryOp({
  name: "div",
  dtypes: NUMBERS,
  js: (x, y, _, r) => r(x / y),
  int: (x, y) => (y === 0 ? 0 : Math.trunc(x / y)),
  big: (x, y) => (y === 0n ? 0n : x / y),
  expr: (x, y, { dtype, b }) =>
    isFloat(dtype) ? k.binary("div", x, y) : truncatedQuotient(x, y, dtype, b),
  exact: true,
  attrs: [{}],
});
