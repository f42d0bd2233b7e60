/**
 * @file Clamps to [min, max]; NaN stays NaN. Bounds are reals: on integers the integers between
 * them remain.
 */
import * as k from "../../kernel/build.ts";
import type { Expr } from "../../kernel/ir.ts";
import { DTYPES, type DType, isFloat } from "../../tensor/dtype.ts";
import { isUnsignedWide } from "../lowering.ts";
import { SCALARS } from "../scalar.ts";
import { type FloatAttrs, NUMBERS } from "./factory.ts";
import { scalarOp } from "./unary-op.ts";

export interface ClipAttrs extends FloatAttrs {
  /** May be infinite. With min above max every element becomes max. */
  readonly min: number;
  readonly max: number;
}

/** The bounds in an integer dtype. */
function intBounds({ min, max }: ClipAttrs, dtype: DType): readonly [bigint, bigint] {
  const bits = DTYPES[dtype].sizeBytes * 8;
  const signed = DTYPES[dtype].kind === "int";
  const least = signed ? -(1n << BigInt(bits - 1)) : 0n;
  const most = signed ? (1n << BigInt(bits - 1)) - 1n : (1n << BigInt(bits)) - 1n;
  const inRange = (x: number): bigint => {
    if (x <= Number(least)) return least;
    return x >= Number(most) ? most : BigInt(x);
  };
  return [inRange(Math.ceil(min)), inRange(Math.floor(max))];
}

function intExpr(x: Expr, attrs: ClipAttrs, dtype: DType): Expr {
  const [lo, hi] = intBounds(attrs, dtype).map((v) =>
    k.constant(x.type, x.type === "i64" ? BigInt.asIntN(64, v) : Number(BigInt.asIntN(32, v))),
  );
  const u = isUnsignedWide(dtype);
  return k.binary(u ? "min_u" : "min", k.binary(u ? "max_u" : "max", x, lo!), hi!);
}

export const clip = scalarOp<ClipAttrs>(
  "clip",
  [
    { min: -1, max: 1 },
    { min: 0, max: 6 },
    { min: 0.5, max: Number.POSITIVE_INFINITY },
    { min: Number.NEGATIVE_INFINITY, max: 0.25 },
  ],
  {
    dtypes: NUMBERS,
    int: (x, attrs, dtype) => {
      const [lo, hi] = intBounds(attrs, dtype);
      return Math.min(Math.max(x, Number(lo)), Number(hi));
    },
    big: (x, attrs, dtype) => {
      const [lo, hi] = intBounds(attrs, dtype);
      const above = x < lo ? lo : x;
      return above > hi ? hi : above;
    },
    expr: (x, { attrs, dtype }) =>
      isFloat(dtype) ? SCALARS["clip"]!.expr(x, attrs) : intExpr(x, attrs, dtype),
    exact: true,
  },
);
