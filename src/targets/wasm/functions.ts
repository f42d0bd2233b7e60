/** @file Functions any kernel may call: the maths library and half-precision conversions. */
import { isVector, type KType, lanesOf } from "../../kernel/ir.ts";
import { mathInstance } from "../../kernel/math/index.ts";
import type { Emitter } from "./emitter.ts";
import { fromHalf, type HalfKind, toHalf } from "./half.ts";

/** Calls a function of the maths library; its arguments are on the stack. */
export function callMath(e: Emitter, fn: string, type: KType): void {
  e.f.call(e.pure(`${fn}:${type}`, () => mathInstance(fn, type)));
}

/** Bits on the stack (i32, or i32 lanes for a vector `type`) become floats. */
export function halfToFloat(e: Emitter, kind: HalfKind, type: KType): void {
  if (kind === "bf16") {
    if (isVector(type)) e.f.i32(16).op("i32x4.shl");
    else e.f.i32(16).ops("i32.shl", "f32.reinterpret_i32");
    return;
  }
  const key = `from_${kind}:${isVector(type) ? lanesOf(type) : ""}`;
  e.f.call(e.pure(key, () => fromHalf(kind, type)));
}

/** An f32 on the stack becomes bits in the low half of an i32. */
export function floatToHalf(e: Emitter, kind: HalfKind): void {
  e.f.call(e.pure(`to_${kind}`, () => toHalf(kind)));
}
