/**
 * @file Remainder: with the sign of the divisor, or of the dividend (`fmod`). Integer modulo zero
 * gives 0.
 */
import * as k from "../../kernel/build.ts";
import { isFloat } from "../../tensor/dtype.ts";
import { isUnsignedWide } from "../lowering.ts";
import { binaryOp } from "./binary-op.ts";
import { type FloatAttrs, NUMBERS, zeroOf } from "./factory.ts";
import { truncatedRemainder } from "./integer-expr.ts";

export interface ModAttrs extends FloatAttrs {
  /** True: the sign of the dividend (C fmod); false: the sign of the divisor (Python %). */
  readonly fmod: boolean;
}

export const mod = binaryOp<ModAttrs>({
  name: "mod",
  dtypes: NUMBERS,
  js: (x, y, { fmod }, r) => {
    const rest = x % y;
    return !fmod && rest !== 0 && rest < 0 !== y < 0 ? r(rest + y) : rest;
  },
  int: (x, y, { fmod }) => {
    if (y === 0) return 0;
    const rest = x % y;
    return !fmod && rest !== 0 && rest < 0 !== y < 0 ? rest + y : rest;
  },
  big: (x, y, { fmod }) => {
    if (y === 0n) return 0n;
    const rest = x % y;
    return !fmod && rest !== 0n && rest < 0n !== y < 0n ? rest + y : rest;
  },
  expr: (x, y, { attrs: { fmod }, dtype, b }) => {
    const rest = b.let(
      "rest",
      isFloat(dtype) ? k.call("fmod", x, y) : truncatedRemainder(x, y, dtype, b),
    );
    if (fmod || isUnsignedWide(dtype)) return rest;
    const zero = zeroOf(x);
    const differ = k.binary("ne", k.lt(rest, zero), k.lt(y, zero));
    return k.select(k.and(k.binary("ne", rest, zero), differ), k.add(rest, y), rest);
  },
  attrs: [{ fmod: false }, { fmod: true }],
  exact: true,
});
