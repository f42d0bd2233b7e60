/**
 * @file Random kernel expressions of every kind and type that 128-bit engines have, free of what
 * docs/ir.md leaves open (NaN payloads) or forbids (zero divisors, access outside a buffer).
 */

import { ownElem } from "../../src/kernel/access.ts";
import type { KernelBuilder } from "../../src/kernel/build.ts";
import * as b from "../../src/kernel/build.ts";
import {
  type BinaryOp,
  type Buffer,
  type CastOp,
  type Expr,
  elemBytes,
  elemOf,
  isFloatElem,
  isVector,
  type KType,
  lanesOf,
  scalarTypeOf,
  type UnaryOp,
  vec128,
} from "../../src/kernel/ir.ts";
import { MATH } from "../../src/kernel/math/index.ts";
import { readsOf } from "../../src/kernel/walk.ts";
import { isFloat } from "../../src/tensor/dtype.ts";
import type { Rng } from "../../src/util/rng.ts";

export const SCALARS: readonly KType[] = ["i32", "i64", "f32", "f64"];
export const VECTORS: readonly KType[] = ["i8x16", "i16x8", "i32x4", "i64x2", "f32x4", "f64x2"];

/** What expressions may use. */
export interface Source {
  readonly rng: Rng;
  readonly k: KernelBuilder;
  readonly buffers: readonly Buffer[];
  /** Names in scope. */
  readonly scope: Expr[];
  /** Loop variables in scope with their largest value. */
  readonly loops: { readonly v: Expr; readonly last: number }[];
  /** Expressions made before, to be repeated. */
  readonly made: Expr[];
  /** Functions of the maths library may be called. */
  readonly maths: boolean;
}

export const pick = <T>(rng: Rng, xs: readonly T[]): T => xs[rng.int(xs.length)]!;
const chance = (s: Source, p: number): boolean => s.rng.next() < p;

/** A number for a constant of `type`: small, at a limit or fractional. */
function randomValue(rng: Rng, type: KType): number {
  const elem = elemOf(type);
  if (isFloatElem(elem)) {
    const special = [0, -0, 1, -1, 0.5, Number.POSITIVE_INFINITY, Number.NaN, 1e-40, 1e30];
    return rng.int(4) === 0 ? pick(rng, special) : (rng.next() - 0.5) * 2 ** rng.int(8);
  }
  const limit = 2 ** (Math.min(elemBytes(elem), 4) * 8 - 1);
  if (rng.int(4) === 0) return pick(rng, [limit - 1, -limit, 0, -1, 1]);
  return rng.int(200) - 100 < -limit ? 0 : Math.max(rng.int(200) - 100, -limit);
}

function leaf(s: Source, type: KType): Expr {
  const { rng } = s;
  const named = s.scope.filter((e) => e.type === type);
  if (named.length > 0 && chance(s, 0.6)) return pick(rng, named);
  if (chance(s, 0.5)) return randomLoad(s, type);
  if (isVector(type) && elemOf(type) !== "i64" && chance(s, 0.3)) {
    const values = Array.from({ length: lanesOf(type) }, () => randomValue(rng, type));
    return b.lanes(type, elemOf(type) === "f32" ? values.map(Math.fround) : values);
  }
  const value = randomValue(rng, type);
  return b.constant(type, elemOf(type) === "i64" ? BigInt(Math.trunc(value)) : value);
}

/** An index with room for `count` elements: a sum over loop variables, or any number, masked. */
export function randomIndex(s: Source, buffer: Buffer, count: number): Expr {
  const { rng } = s;
  let room = buffer.size - count;
  if (chance(s, 0.2) && room >= 15) return b.and(randomExpr(s, "i32", 1), 15);
  let index: Expr = b.i32(0);
  for (const { v, last } of s.loops) {
    const factor = pick(rng, [0, 1, 1, 2, 4, 8]);
    if (factor * last > room) continue;
    room -= factor * last;
    index = b.add(index, rng.int(2) === 0 ? b.mul(v, factor) : b.mul(factor, v));
  }
  const offset = rng.int(Math.min(room, 7) + 1);
  return rng.int(2) === 0 ? b.add(index, offset) : b.add(offset, index);
}

/** The vector types a buffer can be loaded as. Raw halves only where nobody writes NaNs. */
function loadsAs(buffer: Buffer, type: KType): boolean {
  if (!isVector(type)) return scalarTypeOf(buffer.dtype) === type;
  const elem = elemOf(type);
  const own = ownElem(buffer.dtype);
  if (isFloat(buffer.dtype) && own === "i16") {
    return elem === "f32" || (elem === "i16" && buffer.role === "in");
  }
  if (elem === own) return true;
  const widens = !isFloatElem(elem) && elemBytes(elem) > elemBytes(own);
  return widens && !isFloat(buffer.dtype);
}

function randomLoad(s: Source, type: KType): Expr {
  const { rng } = s;
  const fitting = s.buffers.filter((x) => loadsAs(x, type));
  if (fitting.length === 0) return b.constant(type, 1);
  const buffer = pick(rng, fitting);
  if (!isVector(type)) return s.k.load(buffer, randomIndex(s, buffer, 1));
  const elem = elemOf(type);
  const count = lanesOf(type);
  if (elem === ownElem(buffer.dtype) && chance(s, 0.4)) {
    const groups = [1, 2, 4, 8].filter((g) => g < count && g * elemBytes(elem) <= 8);
    const group = pick(rng, groups);
    return s.k.loadGroup(buffer, randomIndex(s, buffer, group), type, group);
  }
  return s.k.load(buffer, randomIndex(s, buffer, count), type);
}

const FLOAT_UNARY: readonly UnaryOp[] = ["neg", "abs", "sqrt", "floor", "ceil", "trunc", "nearest"];

function unary(s: Source, type: KType, depth: number): Expr {
  const elem = elemOf(type);
  const ints: UnaryOp[] = ["neg", "abs", "not"];
  if (!isVector(type)) ints.push("clz", "popcnt");
  if (elem === "i8") ints.push("popcnt");
  const op = pick(s.rng, isFloatElem(elem) ? FLOAT_UNARY : ints);
  return b.unary(op, randomExpr(s, type, depth));
}

function integerOps(type: KType): readonly BinaryOp[] {
  const ops: BinaryOp[] = ["add", "sub", "and", "or", "xor"];
  const elem = elemOf(type);
  if (elem !== "i8") ops.push("mul");
  if (!isVector(type) || elem !== "i64") ops.push("min", "max", "min_u", "max_u");
  if (!isVector(type)) ops.push("div", "div_u", "rem", "rem_u");
  ops.push("shl", "shr", "shr_u");
  return ops;
}

function binary(s: Source, type: KType, depth: number): Expr {
  const elem = elemOf(type);
  const a = randomExpr(s, type, depth);
  if (isFloatElem(elem)) {
    if (!isVector(type) && chance(s, 0.1)) {
      const sign = b.cast(type, "convert_s", randomExpr(s, "i32", depth));
      return b.binary("copysign", a, sign);
    }
    const op = pick<BinaryOp>(s.rng, ["add", "sub", "mul", "div", "min", "max"]);
    return b.binary(op, a, randomExpr(s, type, depth));
  }
  const op = pick(s.rng, integerOps(type));
  if (op === "shl" || op === "shr" || op === "shr_u") {
    const same = !isVector(type) && chance(s, 0.5);
    return b.binary(op, a, randomExpr(s, same ? type : "i32", depth));
  }
  const other = randomExpr(s, type, depth);
  if (!op.startsWith("div") && !op.startsWith("rem")) return b.binary(op, a, other);
  const positive = b.binary("and", other, b.constant(type, 255));
  return b.binary(op, a, b.binary("or", positive, b.constant(type, 1)));
}

/** A comparison of lanes as wide as those of the mask `type`. */
function comparison(s: Source, type: KType, depth: number): Expr {
  const operands = isVector(type) ? VECTORS.filter((t) => lanesOf(t) === lanesOf(type)) : SCALARS;
  const operand = pick(s.rng, operands);
  const ops: BinaryOp[] = ["eq", "ne", "lt", "le", "gt", "ge"];
  const elem = elemOf(operand);
  if (!isFloatElem(elem) && !(isVector(operand) && elem === "i64")) {
    ops.push("lt_u", "le_u", "gt_u", "ge_u");
  }
  const a = randomExpr(s, operand, depth);
  return b.binary(pick(s.rng, ops), a, randomExpr(s, operand, depth));
}

type Rule = readonly [KType, CastOp];
const CASTS: Readonly<Partial<Record<KType, readonly Rule[]>>> = {
  i32: [
    ["f32", "trunc_sat_s"],
    ["f32", "trunc_sat_u"],
    ["f64", "trunc_sat_s"],
    ["f64", "trunc_sat_u"],
    ["i64", "wrap"],
    ["i32", "extend8_s"],
    ["i32", "extend16_s"],
  ],
  i64: [
    ["i32", "extend_s"],
    ["i32", "extend_u"],
    ["i64", "extend8_s"],
    ["i64", "extend16_s"],
    ["f32", "trunc_sat_s"],
    ["f32", "trunc_sat_u"],
    ["f64", "trunc_sat_s"],
    ["f64", "trunc_sat_u"],
  ],
  f32: [
    ["i32", "convert_s"],
    ["i32", "convert_u"],
    ["i64", "convert_s"],
    ["i64", "convert_u"],
    ["f64", "demote"],
  ],
  f64: [
    ["i32", "convert_s"],
    ["i32", "convert_u"],
    ["i64", "convert_s"],
    ["i64", "convert_u"],
    ["f32", "promote"],
  ],
  i8x16: [
    ["i16x8", "bits"],
    ["i32x4", "bits"],
  ],
  i16x8: [
    ["i8x16", "extend_low_s"],
    ["i8x16", "extend_high_s"],
    ["i8x16", "extend_low_u"],
    ["i8x16", "extend_high_u"],
    ["i64x2", "bits"],
  ],
  i32x4: [
    ["i16x8", "extend_low_s"],
    ["i16x8", "extend_high_s"],
    ["i16x8", "extend_low_u"],
    ["i16x8", "extend_high_u"],
    ["f32x4", "trunc_sat_s"],
    ["f32x4", "trunc_sat_u"],
    ["i8x16", "bits"],
  ],
  i64x2: [
    ["i32x4", "extend_low_s"],
    ["i32x4", "extend_high_s"],
    ["i32x4", "extend_low_u"],
    ["i32x4", "extend_high_u"],
    ["i16x8", "bits"],
  ],
  f32x4: [
    ["i32x4", "convert_s"],
    ["i32x4", "convert_u"],
  ],
};

function randomCast(s: Source, type: KType, depth: number): Expr {
  if ((type === "f32" || type === "f32x4") && chance(s, 0.3)) {
    const bits = b.withElem(type, "i32");
    const mantissa = b.and(randomExpr(s, bits, depth), b.constant(bits, 0x7fffff));
    return b.cast(type, "bits", b.binary("or", mantissa, b.constant(bits, 0x3f800000)));
  }
  const rules = CASTS[type];
  if (rules === undefined) return randomExpr(s, type, depth);
  const [from, op] = pick(s.rng, rules);
  return b.cast(type, op, randomExpr(s, from, depth));
}

/** The operations that only vectors have. */
function vectorOnly(s: Source, type: KType, depth: number): Expr {
  const e = (t: KType): Expr => randomExpr(s, t, depth);
  const { rng } = s;
  const count = lanesOf(type);
  const options: (() => Expr)[] = [
    () => {
      const elem = elemOf(type);
      return b.splat(type, e(elem === "i8" || elem === "i16" ? "i32" : elem));
    },
    () => {
      const indices = Array.from({ length: count }, () => rng.int(2 * count));
      return b.shuffle(e(type), e(type), indices);
    },
  ];
  if (type === "i8x16" || type === "i16x8") {
    const from: KType = type === "i8x16" ? "i16x8" : "i32x4";
    options.push(() => b.narrow(type, chance(s, 0.5), e(from), e(from)));
  }
  if (type === "i32x4" || type === "i64x2" || type === "i16x8") {
    const from = vec128(type === "i64x2" ? "i32" : type === "i32x4" ? "i16" : "i8");
    const half = chance(s, 0.5) ? "low" : "high";
    options.push(() => b.extmul(type, half, e(from), e(from)));
  }
  if (type === "i32x4") {
    options.push(() => b.dot16(e("i16x8"), e("i16x8")));
    const seven = b.constant("i8x16", 0x7f);
    options.push(() => b.dot8(e("i8x16"), b.and(e("i8x16"), seven), e("i32x4")));
  }
  return pick(rng, options)();
}

function floatOnly(s: Source, type: KType, depth: number): Expr {
  const e = (): Expr => randomExpr(s, type, depth);
  if (!s.maths || type === "f64x2" || chance(s, 0.6)) return b.fma(e(), e(), e());
  const fn = pick(s.rng, Object.keys(MATH));
  return b.call(fn, ...MATH[fn]!.params.map(e));
}

function randomSelect(s: Source, type: KType, depth: number): Expr {
  const mask: KType = isVector(type) ? vec128(`i${elemBytes(elemOf(type)) * 8}` as "i8") : "i32";
  return b.select(
    comparison(s, mask, depth),
    randomExpr(s, type, depth),
    randomExpr(s, type, depth),
  );
}

function extract(s: Source, type: KType, depth: number): Expr {
  const from = pick(
    s.rng,
    VECTORS.filter((t) => {
      const elem = elemOf(t);
      return (elem === "i8" || elem === "i16" ? "i32" : elem) === type;
    }),
  );
  return b.extract(randomExpr(s, from, depth), s.rng.int(lanesOf(from)));
}

/** An expression made before whose names are in scope, so that transforms find repetitions. */
function repeated(s: Source, type: KType): Expr | null {
  if (s.made.length === 0) return null;
  const e = s.made[Math.max(0, s.made.length - 1 - s.rng.int(40))]!;
  if (e.type !== type) return null;
  const visible = new Set(s.scope.map((x) => (x.kind === "var" ? x.name : "")));
  return [...readsOf(e).names].every((name) => visible.has(name)) ? e : null;
}

/** An expression of `type`, at most `depth` operations deep. */
export function randomExpr(s: Source, type: KType, depth: number): Expr {
  for (let i = 0; i < 3; i++) {
    const before = repeated(s, type);
    if (before !== null) return before;
  }
  const e = freshExpr(s, type, depth);
  if (e.kind !== "const" && e.kind !== "var" && e.kind !== "lanes") s.made.push(e);
  return e;
}

function freshExpr(s: Source, type: KType, depth: number): Expr {
  if (depth <= 0) return leaf(s, type);
  const d = depth - 1;
  const float = isFloatElem(elemOf(type));
  const options: (() => Expr)[] = [
    () => leaf(s, type),
    () => unary(s, type, d),
    () => binary(s, type, d),
    () => binary(s, type, d),
    () => randomSelect(s, type, d),
    () => randomCast(s, type, d),
    () => (isVector(type) ? vectorOnly(s, type, d) : extract(s, type, d)),
  ];
  if (float) options.push(() => floatOnly(s, type, d));
  else if (type === "i32" || isVector(type)) options.push(() => comparison(s, type, d));
  return pick(s.rng, options)();
}
