/** @file Operators and casts of the kernel IR as WebAssembly instructions; operands are on the stack. */

import {
  type BinaryOp,
  type CastOp,
  COMPARISONS,
  type Elem,
  elemBytes,
  elemOf,
  isFloatElem,
  isVector,
  type KType,
  lanesOf,
  type ScalarType,
  type UnaryOp,
} from "../../kernel/ir.ts";
import { InternalError, invariant } from "../../util/errors.ts";
import type { ValType } from "./encoder.ts";
import type { FunctionBuilder } from "./function-builder.ts";
import { hasOpcode } from "./opcodes.ts";

/** The WebAssembly type of a register. Vectors of fewer than 128 bits use the low lanes. */
export function valTypeOf(type: KType): ValType {
  if (!isVector(type)) return type as ScalarType;
  const bits = elemBytes(elemOf(type)) * lanesOf(type) * 8;
  invariant(bits <= 128, () => `WebAssembly has no vector of type ${type}`);
  return "v128";
}

/** Instruction prefix of a type: "i32", or the 128-bit vector of its element. */
export const prefixOf = (type: KType): string => {
  const e = elemOf(type);
  return isVector(type) ? `${e}x${16 / elemBytes(e)}` : e;
};

/** The scalar a lane is extracted to. */
export const laneScalar = (e: Elem): ScalarType => (e === "i8" || e === "i16" ? "i32" : e);

export function extractLane(f: FunctionBuilder, e: Elem, lane: number, signed = true): void {
  const small = e === "i8" || e === "i16";
  const suffix = small ? (signed ? "_s" : "_u") : "";
  f.op(`${e}x${16 / elemBytes(e)}.extract_lane${suffix}`, lane);
}

/** Puts a constant-free computation of each lane together: `lane(i)` pushes the scalar of lane i. */
export function buildLanes(f: FunctionBuilder, type: KType, lane: (i: number) => void): void {
  const prefix = prefixOf(type);
  for (let i = 0; i < lanesOf(type); i++) {
    lane(i);
    if (i === 0) f.op(`${prefix}.splat`);
    else f.op(`${prefix}.replace_lane`, i);
  }
}

export function emitUnary(f: FunctionBuilder, op: UnaryOp, type: KType): void {
  const e = elemOf(type);
  const name = `${prefixOf(type)}.${op}`;
  if (op === "not" && isVector(type)) f.op("v128.not");
  else if (hasOpcode(name)) f.op(name);
  else if (isVector(type)) lanewiseUnary(f, op, type);
  else if (op === "neg" || op === "not") {
    pushInt(f, e, -1);
    f.op(`${e}.${op === "neg" ? "mul" : "xor"}`);
  } else if (op === "abs") {
    f.withLocal(valTypeOf(type), (x) => {
      const sign = (): void => {
        pushInt(f.get(x), e, e === "i32" ? 31 : 63);
        f.op(`${e}.shr_s`);
      };
      f.tee(x);
      sign();
      f.op(`${e}.xor`);
      sign();
      f.op(`${e}.sub`);
    });
  } else throw new InternalError(`WebAssembly: ${op} on ${type}`);
}

function pushInt(f: FunctionBuilder, e: Elem, value: number): void {
  if (e === "i64") f.i64(BigInt(value));
  else f.i32(value);
}

function lanewiseUnary(f: FunctionBuilder, op: UnaryOp, type: KType): void {
  const e = elemOf(type);
  const scalar = laneScalar(e);
  f.withLocal("v128", (x) => {
    f.set(x);
    buildLanes(f, type, (i) => {
      extractLane(f.get(x), e, i, op !== "clz" && op !== "popcnt");
      emitUnary(f, op, scalar);
      if (op === "clz" && scalar !== e) f.i32(32 - 8 * elemBytes(e)).op("i32.sub");
    });
  });
}

const SIGNED_NAMES: Partial<Record<BinaryOp, string>> = {
  div: "div_s",
  rem: "rem_s",
  min: "min_s",
  max: "max_s",
  shr: "shr_s",
  lt: "lt_s",
  le: "le_s",
  gt: "gt_s",
  ge: "ge_s",
};
const BITWISE: ReadonlySet<BinaryOp> = new Set<BinaryOp>(["and", "or", "xor"]);

/** The instruction of an operator on operands of `type`, if there is one. */
function binaryName(op: BinaryOp, type: KType): string | null {
  if (isVector(type) && BITWISE.has(op)) return `v128.${op}`;
  const suffix = isFloatElem(elemOf(type)) ? op : (SIGNED_NAMES[op] ?? op);
  const name = `${prefixOf(type)}.${suffix}`;
  return hasOpcode(name) ? name : null;
}

const isShift = (op: BinaryOp): boolean => op === "shl" || op === "shr" || op === "shr_u";

/** `type` is that of the operands; `divisor` a constant second operand, if it is one. */
export function emitBinary(
  f: FunctionBuilder,
  op: BinaryOp,
  type: KType,
  divisor: number | bigint | null = null,
): void {
  const e = elemOf(type);
  const safe = divisor !== null && Number(divisor) !== 0 && Number(divisor) !== -1;
  const name = binaryName(op, type);
  if (op === "div" && (type === "i32" || type === "i64") && !safe) wrappingDivide(f, type);
  else if (name !== null) f.op(name);
  else if (isVector(type)) vectorBinary(f, op, type);
  else if (op.startsWith("min") || op.startsWith("max")) {
    const test = op.startsWith("min") ? "lt" : "gt";
    const sign = op.endsWith("_u") ? "u" : "s";
    f.withLocal(valTypeOf(type), (a) =>
      f.withLocal(valTypeOf(type), (b) => {
        f.set(b).tee(a).get(b).get(a).get(b);
        f.ops(`${e}.${test}_${sign}`, "select");
      }),
    );
  } else throw new InternalError(`WebAssembly: ${op} on ${type}`);
}

/** i.div_s traps on MIN / -1, where the IR wraps. */
function wrappingDivide(f: FunctionBuilder, type: "i32" | "i64"): void {
  f.withLocal(type, (a) =>
    f.withLocal(type, (b) => {
      f.set(b).set(a);
      pushInt(f.get(b), type, -1);
      f.op(`${type}.eq`);
      f.block(
        "if",
        () => {
          pushInt(f, type, 0);
          f.get(a).ops(`${type}.sub`, "else").get(a).get(b).op(`${type}.div_s`);
        },
        type,
      );
    }),
  );
}

/** Vector operators without an instruction of their own. */
function vectorBinary(f: FunctionBuilder, op: BinaryOp, type: KType): void {
  const e = elemOf(type);
  f.withLocal("v128", (a) =>
    f.withLocal("v128", (b) => {
      if (op === "copysign") {
        const bits = f.set(b).set(a).get(b).get(a);
        if (e === "f32") bits.i32(0x80000000 | 0).op("i32x4.splat");
        else bits.i64(-(1n << 63n)).op("i64x2.splat");
        f.op("v128.bitselect");
      } else if ((op === "min" || op === "max") && e === "i64") {
        f.set(b).tee(a).get(b).get(a).get(b);
        f.ops(`i64x2.${op === "min" ? "lt_s" : "gt_s"}`, "v128.bitselect");
      } else lanewiseBinary(f, op, type, a, b);
    }),
  );
}

function lanewiseBinary(
  f: FunctionBuilder,
  op: BinaryOp,
  type: KType,
  a: ReturnType<FunctionBuilder["local"]>,
  b: ReturnType<FunctionBuilder["local"]>,
): void {
  const e = elemOf(type);
  const scalar = laneScalar(e);
  const signed = !op.endsWith("_u");
  invariant(!isShift(op), () => `WebAssembly: ${op} on ${type}`);
  const compare = COMPARISONS.has(op);
  const mask = `i${elemBytes(e) * 8}x${lanesOf(type)}` as KType;
  f.set(b).set(a);
  buildLanes(f, compare ? mask : type, (i) => {
    extractLane(f.get(a), e, i, signed);
    extractLane(f.get(b), e, i, signed);
    emitBinary(f, op, scalar);
    if (!compare) return;
    f.i32(-1).op("i32.mul");
    if (elemBytes(e) === 8) f.op("i64.extend_i32_s");
  });
}

/** Casts from a value of type `from` on the stack. */
export function emitCast(f: FunctionBuilder, op: CastOp, from: KType, to: KType): void {
  if (isVector(from)) vectorCast(f, op, from, to);
  else scalarCast(f, op, from as ScalarType, to as ScalarType);
}

function scalarCast(f: FunctionBuilder, op: CastOp, from: ScalarType, to: ScalarType): void {
  const names: Partial<Record<CastOp, string>> = {
    convert_s: `${to}.convert_${from}_s`,
    convert_u: `${to}.convert_${from}_u`,
    trunc_sat_s: `${to}.trunc_sat_${from}_s`,
    trunc_sat_u: `${to}.trunc_sat_${from}_u`,
    extend_s: "i64.extend_i32_s",
    extend_u: "i64.extend_i32_u",
    extend8_s: `${to}.extend8_s`,
    extend16_s: `${to}.extend16_s`,
    wrap: "i32.wrap_i64",
    promote: "f64.promote_f32",
    demote: "f32.demote_f64",
    bits: `${to}.reinterpret_${from}`,
  };
  const name = names[op];
  if (name === undefined) throw new InternalError(`WebAssembly: ${op} from ${from} to ${to}`);
  if (op !== "bits" || from !== to) f.op(name);
}

function vectorCast(f: FunctionBuilder, op: CastOp, from: KType, to: KType): void {
  if (op === "bits") return;
  const [p, q] = [prefixOf(from), prefixOf(to)];
  const e = elemOf(from);
  const narrowFrom = lanesOf(from) * elemBytes(e) < 16;
  if (op === "extend8_s" || op === "extend16_s") {
    const shift = elemBytes(e) * 8 - (op === "extend8_s" ? 8 : 16);
    if (shift > 0) f.i32(shift).op(`${p}.shl`).i32(shift).op(`${p}.shr_s`);
    return;
  }
  invariant(!(op.startsWith("extend_high") && narrowFrom), () => `WebAssembly: ${op} of ${from}`);
  const low = narrowFrom || lanesOf(to) * elemBytes(elemOf(to)) < 16;
  const sign = op.endsWith("_u") ? "u" : "s";
  const candidates: Partial<Record<CastOp, string>> = {
    extend_s: `${q}.extend_low_${p}_s`,
    extend_u: `${q}.extend_low_${p}_u`,
    promote: "f64x2.promote_low_f32x4",
    demote: "f32x4.demote_f64x2_zero",
    [op.startsWith("trunc") ? op : "trunc_sat_s"]:
      `${q}.trunc_sat_${p}_${sign}${low && e === "f64" ? "_zero" : ""}`,
    [op.startsWith("convert") ? op : "convert_s"]:
      `${q}.convert_${q === "f64x2" ? "low_" : ""}${p}_${sign}`,
  };
  const name =
    op.startsWith("extend_low") || op.startsWith("extend_high")
      ? `${q}.${op.slice(0, -2)}_${p}_${sign}`
      : candidates[op];
  if (name !== undefined && hasOpcode(name)) f.op(name);
  else lanewiseCast(f, op, from, to);
}

function lanewiseCast(f: FunctionBuilder, op: CastOp, from: KType, to: KType): void {
  f.withLocal("v128", (x) => {
    f.set(x);
    buildLanes(f, to, (i) => {
      extractLane(f.get(x), elemOf(from), i, !op.endsWith("_u"));
      scalarCast(f, op, laneScalar(elemOf(from)), laneScalar(elemOf(to)));
    });
  });
}
