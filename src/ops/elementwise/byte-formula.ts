/**
 * @file Short f32 formulas for functions of two bytes. Both arithmetics of sums and products of
 * quantised values are affine up to how they round, so a sum or product in f32 steps of the result
 * gives the same integers, unless a rounding falls otherwise near a half. All 65536 pairs are tried
 * when a kernel is made; slightly enlarged or reduced factors move results off the halves.
 */
import { add, constant, mul, sub } from "../../kernel/build.ts";
import type { Expr } from "../../kernel/ir.ts";
import { DTYPES, type DType } from "../../tensor/dtype.ts";
import type { QuantParams } from "../../tensor/tensor.ts";
import { clamp, roundHalfEven } from "../../util/math.ts";

/** How the reals of two operands combine. */
export type Combination = "sum" | "difference" | "product";

/** The result in f32 steps, before rounding to nearest even, of the operands' steps. */
export interface ByteFormula {
  js(a: number, b: number): number;
  /** The same for f32 or f32xN. */
  expr(a: Expr, b: Expr): Expr;
}

/** Two operands and a result, 8 bits, per tensor. */
export interface BytePair {
  readonly dtypes: readonly [a: DType, b: DType, out: DType];
  readonly quant: readonly [a: QuantParams, b: QuantParams, out: QuantParams];
}

const f = Math.fround;
/** Rounding by addition needs less than 2^22; a margin for the operands' rounding. */
const MOST_STEPS = 2 ** 20;
/** 1.5 * 2^23: added and taken off, it rounds an f32 below 2^22 to the nearest integer. */
const ROUND = 12582912;

function weightedSum(ma: number, mb: number): ByteFormula {
  if (Math.abs(ma) === Math.abs(mb)) {
    return {
      js: (x, y) => f((mb < 0 ? x - y : x + y) * f(ma)),
      expr: (x, y) => mul(mb < 0 ? sub(x, y) : add(x, y), constant(x.type, ma)),
    };
  }
  return {
    js: (x, y) => f(f(x * f(ma)) + f(y * f(mb))),
    expr: (x, y) => add(mul(x, constant(x.type, ma)), mul(y, constant(x.type, mb))),
  };
}

const product = (m: number): ByteFormula => ({
  js: (x, y) => f(f(x * y) * f(m)),
  expr: (x, y) => mul(mul(x, y), constant(x.type, m)),
});

/** The product rescaled to integers by a mantissa of 0.5 to 1 and then by a power of two, as fixed point is. */
function productInTwo(m: number): ByteFormula {
  const power = 2 ** Math.min(0, Math.floor(Math.log2(m)) + 1);
  const mantissa = f(m / power);
  // A little above the power of two: halves leave zero.
  const last = f(power * (1 + 2 ** -20));
  return {
    js: (x, y) => f(f(f(f(f(x * y) * mantissa) + ROUND) - ROUND) * last),
    expr: (x, y) => {
      const at = (value: number): Expr => constant(x.type, value);
      const near = sub(add(mul(mul(x, y), at(mantissa)), at(ROUND)), at(ROUND));
      return mul(near, at(last));
    },
  };
}

/** Factors close to 1: ties away from zero need more than 1; the rest is for results near a half. */
const NUDGES = [0, 1, -1, 2, -2, 4, -4, 8, -8, 16, -16].map((e) => 1 + e * 2 ** -22);

function candidates(kind: Combination, { quant }: BytePair): readonly (() => ByteFormula)[] {
  const [a, b, out] = quant.map((q) => q.scale[0]!) as [number, number, number];
  if (kind === "product") {
    const m = (a * b) / out;
    const forms = NUDGES.map((n) => () => product(m * n));
    return [...forms, ...NUDGES.map((n) => () => productInTwo(m * n))];
  }
  const [ma, mb] = [a / out, (kind === "sum" ? b : -b) / out];
  const together = NUDGES.map((n) => () => weightedSum(ma * n, mb * n));
  if (a === b) return together;
  const few = NUDGES.slice(0, 5);
  const apart = few.flatMap((p) => few.map((q) => () => weightedSum(ma * p, mb * q)));
  return [...together, ...apart];
}

/**
 * A formula that gives `exact(a, b)`, the stored result clamped to its type, for all stored a and b;
 * null when none of those tried does.
 */
export function byteFormula(
  kind: Combination,
  pair: BytePair,
  exact: (a: number, b: number) => number,
): ByteFormula | null {
  const [da, db, out] = pair.dtypes.map((d) => DTYPES[d]);
  const [za, zb, zo] = pair.quant.map((q) => q.zeroPoint[0]!) as [number, number, number];
  const want = new Int16Array(65536);
  for (let i = 0; i < 65536; i++) want[i] = exact(da!.min + (i >> 8), db!.min + (i & 255));
  const [a0, b0] = [da!.min - za, db!.min - zb];
  for (const make of candidates(kind, pair)) {
    const formula = make();
    const corners = [0, 255].flatMap((i) => [0, 255].map((j) => formula.js(a0 + i, b0 + j)));
    if (!corners.every((c) => Math.abs(c) < MOST_STEPS)) return null;
    let i = 0;
    while (i < 65536) {
      const q = roundHalfEven(formula.js(a0 + (i >> 8), b0 + (i & 255))) + zo;
      if (clamp(q, out!.min, out!.max) !== want[i]) break;
      i++;
    }
    if (i === 65536) return formula;
  }
  return null;
}
