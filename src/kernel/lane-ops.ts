/**
 * @file What every kernel operation does to one lane: the arithmetic of docs/ir.md in JavaScript numbers.
 * Integers up to 32 bits are kept sign-extended, i64 as bigint, f32 as rounded doubles.
 */
import { InternalError } from "../util/errors.ts";
import type { BinaryOp, Elem, UnaryOp } from "./ir.ts";

export type Lane = number | bigint;
export type Lane1 = (a: Lane) => Lane;
export type Lane2 = (a: Lane, b: Lane) => Lane;
type Num1 = (a: number) => number;
type Num2 = (a: number, b: number) => number;
type Big2 = (a: bigint, b: bigint) => bigint;

const zeroDivisor = (): never => {
  throw new InternalError("kernel: division by zero");
};

const unsupported = (op: string, elem: Elem): never => {
  throw new InternalError(`kernel: ${op} is not defined on ${elem}`);
};

/** Sign-extends the low bits of an integer. */
export function wrapTo(elem: Elem): Num1 {
  if (elem === "i8") return (x) => (x << 24) >> 24;
  if (elem === "i16") return (x) => (x << 16) >> 16;
  return (x) => x | 0;
}

/** The unsigned reading of a sign-extended integer. */
export function unsignedOf(elem: Elem): Num1 {
  if (elem === "i8") return (x) => x & 0xff;
  if (elem === "i16") return (x) => x & 0xffff;
  return (x) => x >>> 0;
}

function popcount(x: number): number {
  let n = 0;
  for (let v = x >>> 0; v !== 0; v >>>= 1) n += v & 1;
  return n;
}

/** To nearest, ties to even; keeps the sign of zero. */
export function nearest(x: number): number {
  if (!(Math.abs(x) < 4503599627370496)) return x;
  const magnitude = Math.abs(x) + 4503599627370496 - 4503599627370496;
  return x < 0 || Object.is(x, -0) ? -magnitude : magnitude;
}

const isNegative = (x: number): boolean => x < 0 || Object.is(x, -0);
const copysign: Num2 = (a, b) => (isNegative(b) ? -Math.abs(a) : Math.abs(a));

type Compare = "eq" | "ne" | "lt" | "le" | "gt" | "ge";
const COMPARE: Record<Compare, (a: Lane, b: Lane) => boolean> = {
  eq: (a, b) => a === b,
  ne: (a, b) => a !== b,
  lt: (a, b) => a < b,
  le: (a, b) => a <= b,
  gt: (a, b) => a > b,
  ge: (a, b) => a >= b,
};

/** The truth of a comparison on lanes of `elem`. */
export function laneCompare(op: BinaryOp, elem: Elem): (a: Lane, b: Lane) => boolean {
  const compare = COMPARE[op.replace("_u", "") as Compare];
  if (!op.endsWith("_u")) return compare;
  if (elem === "i64") {
    return (a, b) => compare(BigInt.asUintN(64, a as bigint), BigInt.asUintN(64, b as bigint));
  }
  const u = unsignedOf(elem);
  return (a, b) => compare(u(a as number), u(b as number));
}

type Arithmetic = Exclude<BinaryOp, Compare | "lt_u" | "le_u" | "gt_u" | "ge_u">;

function intBinary(op: Arithmetic, elem: Elem): Num2 {
  const w = wrapTo(elem);
  const u = unsignedOf(elem);
  const mask = Number(elem.slice(1)) - 1;
  const table: Record<Arithmetic, Num2 | null> = {
    add: (a, b) => w(a + b),
    sub: (a, b) => w(a - b),
    mul: (a, b) => w(Math.imul(a, b)),
    div: (a, b) => (b === 0 ? zeroDivisor() : w(a / b)),
    div_u: (a, b) => (b === 0 ? zeroDivisor() : w(u(a) / u(b))),
    rem: (a, b) => (b === 0 ? zeroDivisor() : w(a % b)),
    rem_u: (a, b) => (b === 0 ? zeroDivisor() : w(u(a) % u(b))),
    min: Math.min,
    min_u: (a, b) => (u(a) < u(b) ? a : b),
    max: Math.max,
    max_u: (a, b) => (u(a) > u(b) ? a : b),
    and: (a, b) => a & b,
    or: (a, b) => a | b,
    xor: (a, b) => a ^ b,
    shl: (a, b) => w(a << (b & mask)),
    shr: (a, b) => a >> (b & mask),
    shr_u: (a, b) => w(u(a) >>> (b & mask)),
    copysign: null,
  };
  return table[op] ?? unsupported(op, elem);
}

const wrap64 = (x: bigint): bigint => BigInt.asIntN(64, x);
const u64 = (x: bigint): bigint => BigInt.asUintN(64, x);
const BIG_BINARY: Record<Arithmetic, Big2 | null> = {
  add: (a, b) => wrap64(a + b),
  sub: (a, b) => wrap64(a - b),
  mul: (a, b) => wrap64(a * b),
  div: (a, b) => (b === 0n ? zeroDivisor() : wrap64(a / b)),
  div_u: (a, b) => (b === 0n ? zeroDivisor() : wrap64(u64(a) / u64(b))),
  rem: (a, b) => (b === 0n ? zeroDivisor() : wrap64(a % b)),
  rem_u: (a, b) => (b === 0n ? zeroDivisor() : wrap64(u64(a) % u64(b))),
  min: (a, b) => (a < b ? a : b),
  min_u: (a, b) => (u64(a) < u64(b) ? a : b),
  max: (a, b) => (a > b ? a : b),
  max_u: (a, b) => (u64(a) > u64(b) ? a : b),
  and: (a, b) => a & b,
  or: (a, b) => a | b,
  xor: (a, b) => a ^ b,
  shl: (a, b) => wrap64(a << (BigInt(b) & 63n)),
  shr: (a, b) => a >> (BigInt(b) & 63n),
  shr_u: (a, b) => wrap64(u64(a) >> (BigInt(b) & 63n)),
  copysign: null,
};

const F64_BINARY: Partial<Record<BinaryOp, Num2>> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
  min: Math.min,
  max: Math.max,
  copysign,
};
const F32_BINARY: Partial<Record<BinaryOp, Num2>> = {
  add: (a, b) => Math.fround(a + b),
  sub: (a, b) => Math.fround(a - b),
  mul: (a, b) => Math.fround(a * b),
  div: (a, b) => Math.fround(a / b),
  min: Math.min,
  max: Math.max,
  copysign,
};

/** A binary operation that is not a comparison. */
export function laneBinary(op: BinaryOp, elem: Elem): Lane2 {
  const table = elem === "f32" ? F32_BINARY : elem === "f64" ? F64_BINARY : null;
  if (table !== null) return (table[op] ?? unsupported(op, elem)) as Lane2;
  if (elem === "i64") return (BIG_BINARY[op as Arithmetic] ?? unsupported(op, elem)) as Lane2;
  return intBinary(op as Arithmetic, elem) as Lane2;
}

const F64_UNARY: Partial<Record<UnaryOp, Num1>> = {
  neg: (a) => -a,
  abs: Math.abs,
  sqrt: Math.sqrt,
  floor: Math.floor,
  ceil: Math.ceil,
  trunc: Math.trunc,
  nearest,
};

function intUnary(elem: Elem): Partial<Record<UnaryOp, Num1>> {
  const w = wrapTo(elem);
  const u = unsignedOf(elem);
  const bits = Number(elem.slice(1));
  return {
    neg: (a) => w(-a),
    abs: (a) => w(Math.abs(a)),
    not: (a) => ~a,
    clz: (a) => Math.clz32(u(a)) - (32 - bits),
    popcnt: (a) => popcount(u(a)),
  };
}

const BIG_UNARY: Partial<Record<UnaryOp, (a: bigint) => bigint>> = {
  neg: (a) => wrap64(-a),
  abs: (a) => wrap64(a < 0n ? -a : a),
  not: (a) => ~a,
  clz: (a) => (a === 0n ? 64n : BigInt(64 - u64(a).toString(2).length)),
  popcnt: (a) => BigInt(popcount(Number(u64(a) >> 32n)) + popcount(Number(u64(a) & 0xffffffffn))),
};

export function laneUnary(op: UnaryOp, elem: Elem): Lane1 {
  if (elem === "f64") return (F64_UNARY[op] ?? unsupported(op, elem)) as Lane1;
  if (elem === "f32") {
    const f = F64_UNARY[op] ?? unsupported(op, elem);
    return (op === "sqrt" ? (a: number) => Math.fround(Math.sqrt(a)) : f) as Lane1;
  }
  const table = elem === "i64" ? BIG_UNARY : intUnary(elem);
  return (table[op] ?? unsupported(op, elem)) as Lane1;
}

/** The operations an element type has; used by the verifier. */
export function hasUnary(op: UnaryOp, elem: Elem): boolean {
  const isFloat = elem === "f32" || elem === "f64";
  return (
    op === "neg" || op === "abs" || isFloat !== (op === "not" || op === "clz" || op === "popcnt")
  );
}

export function hasBinary(op: BinaryOp, elem: Elem): boolean {
  if (op in COMPARE) return true;
  if (elem === "f32" || elem === "f64") return op in F64_BINARY;
  return op !== "copysign";
}
