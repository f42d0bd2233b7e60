/** @file Conversions of one lane between register types, as docs/ir.md defines them. */
import { InternalError } from "../util/errors.ts";
import type { CastOp, Elem } from "./ir.ts";
import type { Lane, Lane1 } from "./lane-ops.ts";
import { unsignedOf } from "./lane-ops.ts";

/** The f32 nearest to an integer of up to 64 bits; Number() alone would round twice. */
export function bigToF32(x: bigint): number {
  const m = x < 0n ? -x : x;
  if (m < 1n << 53n) return Math.fround(Number(x));
  const sticky = (m & 2047n) === 0n ? 0n : 1n;
  const magnitude = Math.fround(Number((m >> 11n) | sticky)) * 2048;
  return x < 0n ? -magnitude : magnitude;
}

function convert(signed: boolean, from: Elem, to: Elem): Lane1 {
  if (from === "i64") {
    const read = (x: Lane): bigint => (signed ? (x as bigint) : BigInt.asUintN(64, x as bigint));
    return to === "f32" ? (x) => bigToF32(read(x)) : (x) => Number(read(x));
  }
  const u = unsignedOf(from);
  const read = (x: Lane): number => (signed ? (x as number) : u(x as number));
  return to === "f32" ? (x) => Math.fround(read(x)) : read;
}

function saturate64(x: number, lo: bigint, hi: bigint): bigint {
  if (Number.isNaN(x)) return 0n;
  if (x <= Number(lo)) return lo;
  if (x >= Number(hi)) return hi;
  return BigInt(Math.trunc(x));
}

function truncSat(signed: boolean, to: Elem): Lane1 {
  if (to === "i64") {
    const lo = signed ? -(1n << 63n) : 0n;
    const hi = signed ? (1n << 63n) - 1n : (1n << 64n) - 1n;
    return (x) => BigInt.asIntN(64, saturate64(x as number, lo, hi));
  }
  const lo = signed ? -2147483648 : 0;
  const hi = signed ? 2147483647 : 4294967295;
  return (x) => {
    const t = Math.trunc(x as number);
    return Number.isNaN(t) ? 0 : Math.min(Math.max(t, lo), hi) | 0;
  };
}

const lowBits =
  (bits: number): Lane1 =>
  (x) =>
    typeof x === "bigint" ? BigInt.asIntN(bits, x) : (x << (32 - bits)) >> (32 - bits);

function widen(signed: boolean, from: Elem, to: Elem): Lane1 {
  const u = unsignedOf(from);
  const read = (x: Lane): number => (signed ? (x as number) : u(x as number));
  return to === "i64" ? (x) => BigInt(read(x)) : read;
}

/** A lane-wise cast; `bits` and the choice of halves are the caller's. */
export function laneCast(op: CastOp, from: Elem, to: Elem): Lane1 {
  switch (op) {
    case "convert_s":
    case "convert_u":
      return convert(op === "convert_s", from, to);
    case "trunc_sat_s":
    case "trunc_sat_u":
      return truncSat(op === "trunc_sat_s", to);
    case "extend8_s":
      return lowBits(8);
    case "extend16_s":
      return lowBits(16);
    case "wrap":
      return (x) => Number(BigInt.asIntN(32, x as bigint));
    case "promote":
      return (x) => x;
    case "demote":
      return (x) => Math.fround(x as number);
    case "extend_s":
    case "extend_low_s":
    case "extend_high_s":
      return widen(true, from, to);
    case "extend_u":
    case "extend_low_u":
    case "extend_high_u":
      return widen(false, from, to);
    case "bits":
      throw new InternalError("kernel: bits is not a lane-wise cast");
  }
}

type LaneArray = { [i: number]: Lane; readonly length: number };

/** A function that rereads the bits of lanes of `from` as lanes of `to`. */
export function bitCast(from: Elem, to: Elem, bytes: number): (x: readonly Lane[]) => Lane[] {
  const memory = new ArrayBuffer(bytes);
  const source = laneView(from, memory);
  const target = laneView(to, memory);
  return (x) => {
    for (let i = 0; i < x.length; i++) source[i] = x[i]!;
    const out = new Array<Lane>(target.length);
    for (let i = 0; i < out.length; i++) out[i] = target[i]!;
    return out;
  };
}

function laneView(elem: Elem, memory: ArrayBuffer): LaneArray {
  const views: Record<Elem, () => LaneArray> = {
    i8: () => new Int8Array(memory) as LaneArray,
    i16: () => new Int16Array(memory) as LaneArray,
    i32: () => new Int32Array(memory) as LaneArray,
    i64: () => new BigInt64Array(memory) as LaneArray,
    f32: () => new Float32Array(memory) as LaneArray,
    f64: () => new Float64Array(memory) as LaneArray,
  };
  return views[elem]();
}
