/** @file x to the power y; on integers by wrapping products, negative exponents truncate. */
import * as k from "../../kernel/build.ts";
import { isFloat } from "../../tensor/dtype.ts";
import { power } from "../special.ts";
import { binaryOp } from "./binary-op.ts";
import { NUMBERS } from "./factory.ts";
import { powLoop } from "./integer-expr.ts";

export const pow = binaryOp({
  name: "pow",
  dtypes: NUMBERS,
  js: (x, y) => power(x, y),
  int: (x, y) => {
    if (y < 0) return x === 1 ? 1 : x === -1 ? (y % 2 === 0 ? 1 : -1) : 0;
    let result = 1;
    for (let base = x, e = y; e > 0; e = Math.floor(e / 2)) {
      if (e % 2 === 1) result = Math.imul(result, base);
      base = Math.imul(base, base);
    }
    return result;
  },
  big: (x, y) => {
    if (y < 0n) return x === 1n ? 1n : x === -1n ? (y % 2n === 0n ? 1n : -1n) : 0n;
    let result = 1n;
    for (let base = x, e = y; e > 0n; e >>= 1n) {
      if (e & 1n) result = BigInt.asIntN(64, result * base);
      base = BigInt.asIntN(64, base * base);
    }
    return result;
  },
  expr: (x, y, { dtype, b }) => (isFloat(dtype) ? k.call("pow", x, y) : powLoop(x, y, dtype, b)),
  attrs: [{}],
  range: [0.1, 3],
});
