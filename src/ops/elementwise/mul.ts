/** @file Product; integers wrap. On quantised values through reals, or as TensorFlow Lite does. */
import * as k from "../../kernel/build.ts";
import { arithmeticOp } from "./arithmetic-op.ts";
import { NUMBERS } from "./factory.ts";
import { fixedProduct } from "./fixed-arithmetic.ts";

export const mul = arithmeticOp(
  {
    name: "mul",
    dtypes: NUMBERS,
    js: (x, y, _, r) => r(x * y),
    int: (x, y) => Math.imul(x, y),
    big: (x, y) => x * y,
    expr: (x, y) => k.mul(x, y),
    exact: true,
    attrs: [{}],
  },
  fixedProduct,
  "product",
);
