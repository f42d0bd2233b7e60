/** @file The typing rules of kernel expressions. */
import { DTYPES, isBig, isFloat } from "../tensor/dtype.ts";
import { ownElem } from "./access.ts";
import {
  type Buffer,
  type ByKind,
  type CastOp,
  COMPARISONS,
  type Elem,
  type Expr,
  elemBytes,
  elemOf,
  isFloatElem,
  isVector,
  type KType,
  lanesOf,
  scalarTypeOf,
  visit,
} from "./ir.ts";
import { hasBinary, hasUnary } from "./lane-ops.ts";
import { MATH } from "./math/index.ts";
import { operandsOf } from "./walk.ts";

/** What an expression may refer to, and what to do on a violation. */
export interface Scope {
  buffer(name: string): Buffer;
  typeOf(name: string): KType | undefined;
  /** Throws, naming kernel and statement. */
  fail(message: string): never;
}

type Of<K extends Expr["kind"]> = Extract<Expr, { readonly kind: K }>;

const ELEMS: readonly Elem[] = ["i8", "i16", "i32", "i64", "f32", "f64"];
const SCALARS: readonly string[] = ["i32", "i64", "f32", "f64"];

function isType(t: string): t is KType {
  if (!t.includes("x")) return SCALARS.includes(t);
  const count = lanesOf(t as KType);
  return ELEMS.includes(elemOf(t as KType)) && Number.isInteger(count) && count > 1;
}

/** The vector type of masks for lanes of `t`; i32 for scalars. */
export const maskOf = (t: KType): KType =>
  isVector(t) ? (`i${elemBytes(elemOf(t)) * 8}x${lanesOf(t)}` as KType) : "i32";

const bytesOf = (t: KType): number => elemBytes(elemOf(t)) * lanesOf(t);

function checkLoad(s: Scope, e: Of<"load">): void {
  const b = s.buffer(e.buffer);
  if (e.index.type !== "i32") s.fail(`index of ${b.name} has type ${e.index.type}`);
  if (!isVector(e.type)) {
    if (e.type !== scalarTypeOf(b.dtype)) s.fail(`load of ${b.dtype} ${b.name} as ${e.type}`);
    if (e.group !== undefined) s.fail("scalar load with a group");
    return;
  }
  const elem = elemOf(e.type);
  const own = ownElem(b.dtype);
  const half = isFloat(b.dtype) && own === "i16";
  const widens = half
    ? elem === "f32"
    : !isFloat(b.dtype) && !isFloatElem(elem) && elemBytes(elem) > elemBytes(own);
  if (elem !== own && !widens) s.fail(`load of ${b.dtype} ${b.name} as ${e.type}`);
  const { group } = e;
  if (group !== undefined && (group < 1 || lanesOf(e.type) % group !== 0)) {
    s.fail(`load group ${group} in ${e.type}`);
  }
}

function checkBinary(s: Scope, e: Of<"binary">): void {
  const { a, b, op } = e;
  const shift = op === "shl" || op === "shr" || op === "shr_u";
  const scalarCount = shift && b.type === "i32";
  if (a.type !== b.type && !scalarCount) s.fail(`${op} of ${a.type} and ${b.type}`);
  if (!hasBinary(op, elemOf(a.type))) s.fail(`${op} on ${a.type}`);
  const result = COMPARISONS.has(op) ? maskOf(a.type) : a.type;
  if (e.type !== result) s.fail(`${op} of ${a.type} gives ${result}, not ${e.type}`);
}

type Elems = (from: Elem, to: Elem) => boolean;
const isInt = (e: Elem): boolean => !isFloatElem(e);
const wide: Elems = (from, to) => isInt(from) && isInt(to) && elemBytes(to) > elemBytes(from);
const fromInt: Elems = (from, to) => elemBytes(from) >= 4 && isInt(from) && isFloatElem(to);
const toInt: Elems = (from, to) => isFloatElem(from) && isInt(to) && elemBytes(to) >= 4;
const sameInt: Elems = (from, to) => from === to && isInt(from);
const half: Elems = (from, to) => wide(from, to) && elemBytes(to) === 2 * elemBytes(from);

const CASTS: Readonly<Record<CastOp, Elems>> = {
  convert_s: fromInt,
  convert_u: fromInt,
  trunc_sat_s: toInt,
  trunc_sat_u: toInt,
  extend_s: (from, to) => from === "i32" && to === "i64",
  extend_u: (from, to) => from === "i32" && to === "i64",
  extend8_s: sameInt,
  extend16_s: (from, to) => sameInt(from, to) && from !== "i8",
  wrap: (from, to) => from === "i64" && to === "i32",
  promote: (from, to) => from === "f32" && to === "f64",
  demote: (from, to) => from === "f64" && to === "f32",
  bits: () => true,
  extend_low_s: half,
  extend_high_s: half,
  extend_low_u: half,
  extend_high_u: half,
};

function checkCast(s: Scope, e: Of<"cast">): void {
  const from = e.a.type;
  const to = e.type;
  const halves = e.op.startsWith("extend_low") || e.op.startsWith("extend_high");
  const lanes = halves ? 2 * lanesOf(to) : lanesOf(to);
  const shape =
    e.op === "bits"
      ? bytesOf(from) === bytesOf(to) && isVector(from) === isVector(to)
      : lanesOf(from) === lanes && isVector(from) === isVector(to);
  if (!shape || !CASTS[e.op](elemOf(from), elemOf(to))) s.fail(`${e.op} from ${from} to ${to}`);
}

function checkConst(s: Scope, e: Of<"const">): void {
  const elem = elemOf(e.type);
  if (elem === "i64" ? typeof e.value !== "bigint" : typeof e.value !== "number") {
    s.fail(`${typeof e.value} constant of type ${e.type}`);
  }
  if (isInt(elem) && !Number.isInteger(Number(e.value))) s.fail(`${e.value} as ${e.type}`);
  if (elem === "f32" && !Object.is(Math.fround(Number(e.value)), e.value)) {
    s.fail(`${e.value} is not an f32`);
  }
}

function checkHalving(s: Scope, e: Of<"narrow"> | Of<"extmul">): void {
  const [small, large] = e.kind === "narrow" ? [e.type, e.a.type] : [e.a.type, e.type];
  const fits =
    e.a.type === e.b.type &&
    isInt(elemOf(small)) &&
    isInt(elemOf(large)) &&
    elemBytes(elemOf(large)) === 2 * elemBytes(elemOf(small)) &&
    lanesOf(small) === 2 * lanesOf(large);
  if (!fits) s.fail(`${e.kind} of ${e.a.type} and ${e.b.type} to ${e.type}`);
  if (e.kind === "narrow" && elemOf(large) === "i64") s.fail("narrow of i64 lanes");
}

/** Operands of `width` times the lanes, and as many times narrower. */
function checkDot(s: Scope, e: Of<"dot16"> | Of<"dot8">, width: 2 | 4): void {
  if (elemOf(e.type) !== "i32" || !isVector(e.type)) s.fail(`${e.kind} to ${e.type}`);
  all(s, e.kind, `i${32 / width}x${width * lanesOf(e.type)}` as KType, e.a, e.b);
}

function checkCall(s: Scope, e: Of<"call">): void {
  const fn = MATH[e.fn];
  if (fn === undefined) s.fail(`no maths function ${e.fn}`);
  if (!isFloatElem(elemOf(e.type))) s.fail(`${e.fn} on ${e.type}`);
  if (e.args.length !== fn.params.length) s.fail(`${e.fn} takes ${fn.params.length} arguments`);
  if (e.args.some((a) => a.type !== e.type)) s.fail(`${e.fn}: arguments must be ${e.type}`);
}

function all(s: Scope, what: string, type: KType, ...operands: readonly Expr[]): void {
  const wrong = operands.find((x) => x.type !== type);
  if (wrong !== undefined) s.fail(`${what}: ${wrong.type} where ${type} belongs`);
}

/** Fails through the scope on the first expression that is not well typed. */
export function checkExpr(s: Scope, e: Expr): void {
  if (!isType(e.type)) s.fail(`unknown type ${e.type}`);
  for (const operand of operandsOf(e)) checkExpr(s, operand);
  const table: ByKind<Expr, void> = {
    const: (n) => checkConst(s, n),
    lanes: (n) => {
      if (n.values.length !== lanesOf(n.type)) s.fail(`${n.values.length} values in ${n.type}`);
    },
    var: (n) => {
      const type = s.typeOf(n.name);
      if (type === undefined) s.fail(`${n.name} is not defined here`);
      if (type !== n.type) s.fail(`${n.name} is ${type}, read as ${n.type}`);
    },
    load: (n) => checkLoad(s, n),
    unary: (n) => {
      all(s, n.op, n.type, n.a);
      if (!hasUnary(n.op, elemOf(n.type))) s.fail(`${n.op} on ${n.type}`);
    },
    binary: (n) => checkBinary(s, n),
    fma: (n) => {
      all(s, "fma", n.type, n.a, n.b, n.c);
      if (!isFloatElem(elemOf(n.type))) s.fail(`fma on ${n.type}`);
    },
    select: (n) => {
      all(s, "select", n.type, n.a, n.b);
      all(s, "condition of select", maskOf(n.type), n.cond);
    },
    cast: (n) => checkCast(s, n),
    splat: (n) => {
      const elem = elemOf(n.type);
      const scalar = elem === "i8" || elem === "i16" ? "i32" : elem;
      if (!isVector(n.type) || n.a.type !== scalar) s.fail(`splat of ${n.a.type} to ${n.type}`);
    },
    extract: (n) => {
      const elem = elemOf(n.a.type);
      const scalar = elem === "i8" || elem === "i16" ? "i32" : elem;
      const inside = n.lane >= 0 && n.lane < lanesOf(n.a.type);
      if (!isVector(n.a.type) || n.type !== scalar || !inside) {
        s.fail(`extract of lane ${n.lane} of ${n.a.type} as ${n.type}`);
      }
    },
    shuffle: (n) => {
      all(s, "shuffle", n.type, n.a, n.b);
      const count = lanesOf(n.type);
      const bad = n.indices.some((i) => i < 0 || i >= 2 * count);
      if (bad || n.indices.length !== count) s.fail(`shuffle [${n.indices}] in ${n.type}`);
    },
    narrow: (n) => checkHalving(s, n),
    extmul: (n) => checkHalving(s, n),
    dot16: (n) => checkDot(s, n, 2),
    dot8: (n) => {
      checkDot(s, n, 4);
      all(s, "dot8", n.type, n.acc);
    },
    call: (n) => checkCall(s, n),
  };
  visit(table, e);
}

/** True when a store of `type` (a vector) into this dtype keeps the lanes' bits. */
export const storesLanes = (b: Buffer, type: KType): boolean => elemOf(type) === ownElem(b.dtype);

/** True when `value` can be the constant of a fill. */
export function fits(b: Buffer, value: number): boolean {
  if (isFloat(b.dtype)) return true;
  const { min, max } = DTYPES[b.dtype];
  return Number.isInteger(value) && (isBig(b.dtype) || (value >= min && value <= max));
}
