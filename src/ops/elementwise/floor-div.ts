/** @file The quotient rounded toward minus infinity; integer division by zero gives 0. */
import * as k from "../../kernel/build.ts";
import { isFloat } from "../../tensor/dtype.ts";
import { isUnsignedWide } from "../lowering.ts";
import { binaryOp } from "./binary-op.ts";
import { NUMBERS, oneOf, zeroOf } from "./factory.ts";
import { truncatedQuotient } from "./integer-expr.ts";

export const floorDiv = binaryOp({
  name: "floor_div",
  dtypes: NUMBERS,
  js: (x, y, _, r) => Math.floor(r(x / y)),
  int: (x, y) => (y === 0 ? 0 : Math.floor(x / y)),
  big: (x, y) => {
    if (y === 0n) return 0n;
    const q = x / y;
    return q * y !== x && x < 0n !== y < 0n ? q - 1n : q;
  },
  expr: (x, y, { dtype, b }) => {
    if (isFloat(dtype)) return k.unary("floor", k.binary("div", x, y));
    const q = b.let("q", truncatedQuotient(x, y, dtype, b));
    if (isUnsignedWide(dtype)) return q;
    const rest = b.let("rest", k.sub(x, k.mul(q, y)));
    const zero = zeroOf(x);
    const inexact = k.and(k.binary("ne", rest, zero), k.binary("ne", y, zero));
    const down = k.and(inexact, k.binary("ne", k.lt(rest, zero), k.lt(y, zero)));
    return k.select(down, k.sub(q, oneOf(x)), q);
  },
  exact: true,
  attrs: [{}],
});
