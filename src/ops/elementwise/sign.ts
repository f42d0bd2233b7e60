/** @file -1, 0 or 1; both zeros give 0 and NaN stays NaN. */
import * as k from "../../kernel/build.ts";
import type { Expr } from "../../kernel/ir.ts";
import { isFloat } from "../../tensor/dtype.ts";
import { isUnsignedWide } from "../lowering.ts";
import { NUMBERS } from "./factory.ts";
import { unaryOp } from "./unary-op.ts";

export const sign = unaryOp({
  name: "sign",
  dtypes: NUMBERS,
  js: (x) => (x > 0 ? 1 : x < 0 ? -1 : x === 0 ? 0 : x),
  big: (x) => (x > 0n ? 1n : x < 0n ? -1n : 0n),
  expr: (x, { dtype }) => {
    const at = (value: number): Expr =>
      k.constant(x.type, x.type === "i64" ? BigInt(value) : value);
    const zero = at(0);
    if (isUnsignedWide(dtype)) return k.select(k.binary("ne", x, zero), at(1), zero);
    const rest = isFloat(dtype) ? k.select(k.binary("eq", x, zero), zero, x) : zero;
    const below = k.select(k.lt(x, zero), at(-1), rest);
    return k.select(k.binary("gt", x, zero), at(1), below);
  },
  exact: true,
  attrs: [{}],
});
