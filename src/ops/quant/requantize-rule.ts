/**
 * @file From an i32 accumulator to the output integer: the one definition of requantisation after a
 * convolution or matrix product (docs/ir.md, "Integer convolution"), as a JavaScript function for
 * `eval` and as kernel expressions, scalar and vector, for every lowering.
 *
 * A lowering that uses it:
 *   const rule = requantRule(x.quant, w.quant, y.quant, y.dtype, attrs.act, attrs.arith);
 *   const tables = rule.tables;              // or rule.vectorTables for i32x4 accumulators
 *   // a table of one value is a constant (tableConstant); longer ones are loaded at the output channel
 *   const q = rule.expr(acc, params);        // one parameter a table, lanes like `acc`; clamped
 */
import type { Activation, Arith } from "../../graph/op.ts";
import {
  add,
  binary,
  cast,
  constant,
  extmul,
  max,
  min,
  mul,
  shuffle,
  sub,
  withElem,
} from "../../kernel/build.ts";
import { type Expr, isVector, type KType, lanesOf } from "../../kernel/ir.ts";
import { DTYPES, type DType } from "../../tensor/dtype.ts";
import {
  type FixedPoint,
  multiplyByQuantizedMultiplier,
  quantizeMultiplier,
} from "../../tensor/fixed-point.ts";
import type { QuantParams } from "../../tensor/tensor.ts";
import { UserError } from "../../util/errors.ts";
import { clamp, roundHalfEven } from "../../util/math.ts";
import { SCALARS } from "../scalar.ts";
import {
  everySecond,
  mulByFixedPoint,
  mulByFixedPointDynamic,
  mulLanes,
  shiftEachLane,
} from "./fixed-point-expr.ts";

/** Numbers a kernel needs at run time: one for the whole tensor, or one per output channel. */
export interface RequantTable {
  readonly name: string;
  readonly dtype: "f32" | "i32";
  readonly values: readonly number[];
}

export interface RequantRule {
  readonly arith: Arith;
  /** Real multipliers, one or one per output channel: f32 values ("float") or f64 ("tflite"). */
  readonly multiplier: readonly number[];
  /** The multipliers in fixed point; empty for "float". */
  readonly fixed: readonly FixedPoint[];
  /** Inclusive bounds of the result and the output's zero point. */
  readonly lo: number;
  readonly hi: number;
  readonly zero: number;
  /** The result for an accumulator (i32) of an output channel. */
  js(acc: number, channel: number): number;
  /** What `expr` takes beside an i32 accumulator, in order. */
  readonly tables: readonly RequantTable[];
  /**
   * The same for an i32x4 accumulator; null when lanes cannot express it (shifts too far apart).
   */
  readonly vectorTables: readonly RequantTable[] | null;
  /** The same for more than four lanes, which targets can shift one by one. */
  readonly wideTables: readonly RequantTable[] | null;
  /**
   * Clamped result, i32 or i32x4 like `acc`; integers above 8 bits are not narrowed. `acc` and the
   * parameters are used more than once: pass variables or constants.
   */
  expr(acc: Expr, params: readonly Expr[]): Expr;
  /**
   * `expr` without its clamp: shorter, for kernels whose narrowing stores saturate. Right where
   * |acc| * multiplier < LOOSE_STEPS and |acc| < looseReach.
   */
  loose(acc: Expr, params: readonly Expr[]): Expr;
  readonly looseReach: number;
}

/** Largest distance from the zero point, in steps of the output, that `RequantRule.loose` takes. */
export const LOOSE_STEPS = 2 ** 21;

/** [lo, hi] of an output type narrowed by a fused activation, rounding halves away from zero. */
export function activationRange(
  dtype: DType,
  out: QuantParams,
  act: Activation | undefined,
): readonly [lo: number, hi: number] {
  const { min: lo, max: hi } = DTYPES[dtype];
  if (act === undefined) return [lo, hi];
  const bounds = SCALARS[act.fn]?.bounds?.(act);
  if (bounds === undefined) {
    throw new UserError(
      "E_MODEL",
      `activation '${act.fn}' cannot be fused into a quantised operator`,
      {
        hint: "only activations that clamp (relu, clip) can",
      },
    );
  }
  const scale = out.scale[0]!;
  const quantize = (x: number): number => {
    const r = Math.fround(x / scale);
    return (r < 0 ? -Math.floor(0.5 - r) : Math.floor(r + 0.5)) + out.zeroPoint[0]!;
  };
  return [clamp(quantize(bounds[0]), lo, hi), clamp(quantize(bounds[1]), lo, hi)];
}

/**
 * The rule for y = requantize(sum of qx * qw). `x` and `out` are per tensor; `w` is per tensor or
 * per output channel, whichever axis that is.
 */
export function requantRule(
  x: QuantParams,
  w: QuantParams,
  out: QuantParams,
  dtype: DType,
  act: Activation | undefined,
  arith: Arith = "float",
): RequantRule {
  const sx = x.scale[0]!;
  const sy = out.scale[0]!;
  const [lo, hi] = activationRange(dtype, out, act);
  const common = { arith, lo, hi, zero: out.zeroPoint[0]! };
  return arith === "float"
    ? floatRule(
        w.scale.map((sw) => Math.fround(Math.fround(sx * sw) / sy)),
        common,
      )
    : fixedRule(
        w.scale.map((sw) => (sx * sw) / sy),
        common,
      );
}

type Common = Pick<RequantRule, "arith" | "lo" | "hi" | "zero">;

/** One entry when all are equal. */
const collapse = (values: readonly number[]): readonly number[] =>
  values.every((v) => v === values[0]) ? values.slice(0, 1) : values;

/** The bits of 12582912 as f32. */
const ROUND_BITS = 0x4b400000;

function floatRule(multiplier: readonly number[], common: Common): RequantRule {
  const { lo, hi, zero } = common;
  const tables: readonly RequantTable[] = [
    { name: "multiplier", dtype: "f32", values: collapse(multiplier) },
  ];
  return {
    ...common,
    multiplier,
    fixed: [],
    js: (acc, c) => {
      const m = multiplier.length === 1 ? multiplier[0]! : multiplier[c]!;
      return clamp(roundHalfEven(Math.fround(Math.fround(acc) * m)) + zero, lo, hi);
    },
    tables,
    vectorTables: tables,
    wideTables: tables,
    expr: (acc, params) => {
      const bits = roundedBits(acc, params[0]!);
      // Outside +-2^22 the bits stay ordered as integers, so that the clamp gives the right bound.
      const bounded = min(
        max(bits, constant(acc.type, ROUND_BITS + lo - zero)),
        constant(acc.type, ROUND_BITS + hi - zero),
      );
      return sub(bounded, constant(acc.type, ROUND_BITS - zero));
    },
    loose: (acc, params) =>
      sub(roundedBits(acc, params[0]!), constant(acc.type, ROUND_BITS - zero)),
    looseReach: Number.POSITIVE_INFINITY,
  };
}

/** The product rounded to nearest even, in the low bits: adding 1.5 * 2^23 leaves no fraction. */
function roundedBits(acc: Expr, multiplier: Expr): Expr {
  const type = withElem(acc.type, "f32");
  const product = mul(cast(type, "convert_s", acc), multiplier);
  return cast(acc.type, "bits", add(product, constant(type, 12582912)));
}

function fixedRule(multiplier: readonly number[], common: Common): RequantRule {
  const { lo, hi, zero } = common;
  const fixed = multiplier.map(quantizeMultiplier);
  const shifts = collapse(fixed.map((m) => m.shift));
  const mantissas = collapse(fixed.map((m) => m.multiplier));
  const uniform = shifts.length === 1;
  const mantissa: RequantTable = { name: "mantissa", dtype: "i32", values: mantissas };
  const rights = shifts.map((s) => Math.max(0, -s));
  // Lanes cannot shift by different counts: they multiply by 2^(bits - count), then all shift by
  // `bits`.
  const bits = Math.min(...rights) === 0 ? 30 : 31;
  // Right shifts that the upper words of products by powers of two do.
  const upper = Math.max(...shifts) <= -2;
  // Lanes that are shifted one by one need a shift to the right.
  const shiftable = Math.min(...rights) >= 1;
  const finish = (scaled: Expr): Expr => {
    const type = scaled.type;
    // The scaled accumulator may lie near the ends of i32: clamp before adding the zero point.
    const bounded = min(max(scaled, constant(type, lo - zero)), constant(type, hi - zero));
    return add(bounded, constant(type, zero));
  };
  const scale = (acc: Expr, params: readonly Expr[]): Expr => {
    const [m, a, b] = params as [Expr, Expr, Expr];
    if (uniform) return mulByUniform(acc, m, shifts[0]!);
    if (!isVector(acc.type)) return mulByFixedPointDynamic(acc, m, a, "up");
    if (lanesOf(acc.type) > 4 && shiftable) {
      return shiftEachLane(mulLanes(acc, m, 0, "up"), a);
    }
    return upper
      ? upperWords(mulLanes(acc, m, 0, "up"), a)
      : shiftLanes(mulLanes(mul(acc, a), m, 0, "up"), b, bits);
  };
  const vectorTables: readonly RequantTable[] | null = uniform
    ? [mantissa]
    : upper
      ? [mantissa, { name: "right", dtype: "i32", values: rights.map((r) => 2 ** (32 - r)) }]
      : Math.max(...rights) > bits
        ? null
        : [
            mantissa,
            { name: "left", dtype: "i32", values: shifts.map((s) => 2 ** Math.max(0, s)) },
            { name: "right", dtype: "i32", values: rights.map((r) => 2 ** (bits - r)) },
          ];
  return {
    ...common,
    multiplier,
    fixed,
    js: (acc, c) => {
      const m = fixed.length === 1 ? fixed[0]! : fixed[c]!;
      return clamp(multiplyByQuantizedMultiplier(acc, m, "up") + zero, lo, hi);
    },
    tables: uniform ? [mantissa] : [mantissa, { name: "shift", dtype: "i32", values: shifts }],
    vectorTables,
    wideTables:
      uniform || !shiftable
        ? vectorTables
        : [mantissa, { name: "right", dtype: "i32", values: rights }],
    expr: (acc, params) => finish(scale(acc, params)),
    loose: (acc, params) => {
      if (!upper || !isVector(acc.type) || lanesOf(acc.type) > 4) {
        return add(scale(acc, params), constant(acc.type, zero));
      }
      const real = withElem(acc.type, "f32");
      const factor = uniform
        ? constant(real, 2 ** (1 - rights[0]!))
        : mul(cast(real, "convert_s", params[1]!), constant(real, 2 ** -31));
      return sub(
        shiftedBits(upperProduct(acc, params[0]!), factor),
        constant(acc.type, ROUND_BITS - zero),
      );
    },
    looseReach: upper ? 2 ** 24 - 4 : Number.POSITIVE_INFINITY,
  };
}

/** The upper words of the 64-bit products of lanes, 2^30 added to each. */
function upperProduct(x: Expr, mantissa: Expr): Expr {
  const long = longOf(x.type);
  const half = (part: "low" | "high"): Expr =>
    cast(x.type, "bits", add(extmul(long, part, x, mantissa), constant(long, 1n << 30n)));
  return shuffle(half("low"), half("high"), everySecond(x.type, 1));
}

/**
 * x * factor, a power of two below 1, rounded with halves up, in the low bits; |x| < 2^23. Both roundings of the
 * fixed-point product are this one: floors of floors are floors. A half added to x leaves no ties.
 */
function shiftedBits(x: Expr, factor: Expr): Expr {
  const real = factor.type;
  const near = mul(add(cast(real, "convert_s", x), constant(real, 0.5)), factor);
  return cast(x.type, "bits", add(near, constant(real, 12582912)));
}

function mulByUniform(acc: Expr, mantissa: Expr, shift: number): Expr {
  if (mantissa.kind === "const") {
    return mulByFixedPoint(acc, { multiplier: Number(mantissa.value), shift }, "up");
  }
  if (!isVector(acc.type))
    return mulByFixedPointDynamic(acc, mantissa, constant("i32", shift), "up");
  const shifted = shift > 0 ? binary("shl", acc, constant("i32", shift)) : acc;
  return mulLanes(shifted, mantissa, Math.max(0, -shift), "up");
}

/** Rounding right shift of vectors, halves up: by 32 - log2(factor), lane by lane. */
function upperWords(x: Expr, factor: Expr): Expr {
  const long = longOf(x.type);
  const half = (part: "low" | "high"): Expr =>
    cast(x.type, "bits", add(extmul(long, part, x, factor), constant(long, 1n << 31n)));
  return shuffle(half("low"), half("high"), everySecond(x.type, 1));
}

/** The 64-bit products of half of the lanes. */
const longOf = (type: KType): KType => `i64x${lanesOf(type) / 2}`;

/** Rounding right shift of vectors, halves up: by bits - log2(factor), lane by lane. */
function shiftLanes(x: Expr, factor: Expr, bits: number): Expr {
  const long = longOf(x.type);
  const half = (part: "low" | "high"): Expr => {
    const p = extmul(long, part, x, factor);
    // 2^62 keeps the sum non-negative, so that a logical shift does; its share is taken off below.
    const sum = add(p, constant(long, (1n << 62n) + (1n << BigInt(bits - 1))));
    return cast(x.type, "bits", binary("shr_u", sum, constant("i32", bits)));
  };
  const words = shuffle(half("low"), half("high"), everySecond(x.type, 0));
  return sub(words, constant(x.type, (2 ** (62 - bits)) | 0));
}

/** The parameter for a table of one value, in the lanes of `acc`. */
export const tableConstant = (table: RequantTable, acc: Expr): Expr =>
  constant(withElem(acc.type, table.dtype), table.values[0]!);
