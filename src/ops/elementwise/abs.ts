/** @file Absolute value; the least signed integer wraps to itself. */
import * as k from "../../kernel/build.ts";
import { isFloat } from "../../tensor/dtype.ts";
import { isUnsignedWide } from "../lowering.ts";
import { NUMBERS, zeroOf } from "./factory.ts";
import { unaryOp } from "./unary-op.ts";

export const abs = unaryOp({
  name: "abs",
  dtypes: NUMBERS,
  js: (x) => Math.abs(x),
  big: (x) => (x < 0n ? -x : x),
  expr: (x, { dtype }) => {
    if (isFloat(dtype)) return k.unary("abs", x);
    const zero = zeroOf(x);
    return isUnsignedWide(dtype) ? x : k.select(k.lt(x, zero), k.sub(zero, x), x);
  },
  exact: true,
  attrs: [{}],
});
