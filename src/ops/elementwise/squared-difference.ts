/** @file (x - y)^2; integers wrap. */
import * as k from "../../kernel/build.ts";
import { binaryOp } from "./binary-op.ts";
import { NUMBERS } from "./factory.ts";

export const squaredDifference = binaryOp({
  name: "squared_difference",
  dtypes: NUMBERS,
  js: (x, y, _, r) => {
    const d = r(x - y);
    return r(d * d);
  },
  int: (x, y) => Math.imul(x - y, x - y),
  big: (x, y) => (x - y) * (x - y),
  expr: (x, y, { b }) => {
    const d = b.let("d", k.sub(x, y));
    return k.mul(d, d);
  },
  exact: true,
  attrs: [{}],
});
