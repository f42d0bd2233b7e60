/**
 * @file Difference; integers wrap. On quantised values through reals, or as TensorFlow Lite does.
 */
import * as k from "../../kernel/build.ts";
import { arithmeticOp } from "./arithmetic-op.ts";
import { NUMBERS } from "./factory.ts";
import { fixedSum } from "./fixed-arithmetic.ts";

export const sub = arithmeticOp(
  {
    name: "sub",
    dtypes: NUMBERS,
    js: (x, y, _, r) => r(x - y),
    big: (x, y) => x - y,
    expr: (x, y) => k.sub(x, y),
    exact: true,
    attrs: [{}],
  },
  fixedSum(-1),
  "difference",
);
