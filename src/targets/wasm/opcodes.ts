/**
 * @file The WebAssembly instruction table: name in the text format -> opcode. Prefixed instructions carry
 * their prefix byte in bits 16 and up. Source: WebAssembly core 2.0, the relaxed-SIMD and the threads proposals.
 */
import { invariant } from "../../util/errors.ts";

const OPCODES = new Map<string, number>();

/** Registers consecutive opcodes under `${group}.${name}`; "-" leaves a gap. */
function run(first: number, group: string, names: string): void {
  names.split(" ").forEach((name, i) => {
    if (name !== "-") OPCODES.set(group === "" ? name : `${group}.${name}`, first + i);
  });
}

const SAT = 0xfc << 16;
const SIMD = 0xfd << 16;
const ATOMIC = 0xfe << 16;
const INT_COMPARE = "eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u";
const INT_ARITH =
  "clz ctz popcnt add sub mul div_s div_u rem_s rem_u and or xor shl shr_s shr_u rotl rotr";
const FLOAT_COMPARE = "eq ne lt gt le ge";
const FLOAT_ARITH = "abs neg ceil floor trunc nearest sqrt add sub mul div min max copysign";

run(0x00, "", "unreachable nop block loop if else");
run(0x0b, "", "end br br_if br_table return call");
run(0x1a, "", "drop select");
run(0x20, "", "local.get local.set local.tee global.get global.set");
run(0x28, "", "i32.load i64.load f32.load f64.load");
run(0x2c, "i32", "load8_s load8_u load16_s load16_u");
run(0x36, "", "i32.store i64.store f32.store f64.store i32.store8 i32.store16");
run(0x41, "", "i32.const i64.const f32.const f64.const");
run(0x45, "i32", `eqz ${INT_COMPARE}`);
run(0x50, "i64", `eqz ${INT_COMPARE}`);
run(0x5b, "f32", FLOAT_COMPARE);
run(0x61, "f64", FLOAT_COMPARE);
run(0x67, "i32", INT_ARITH);
run(0x79, "i64", INT_ARITH);
run(0x8b, "f32", FLOAT_ARITH);
run(0x99, "f64", FLOAT_ARITH);
run(0xa7, "", "i32.wrap_i64");
run(0xac, "i64", "extend_i32_s extend_i32_u");
run(0xb2, "f32", "convert_i32_s convert_i32_u convert_i64_s convert_i64_u demote_f64");
run(0xb7, "f64", "convert_i32_s convert_i32_u convert_i64_s convert_i64_u promote_f32");
run(0xbc, "", "i32.reinterpret_f32 i64.reinterpret_f64 f32.reinterpret_i32 f64.reinterpret_i64");
run(0xc0, "", "i32.extend8_s i32.extend16_s i64.extend8_s i64.extend16_s");

run(SAT | 0x00, "i32", "trunc_sat_f32_s trunc_sat_f32_u trunc_sat_f64_s trunc_sat_f64_u");
run(SAT | 0x04, "i64", "trunc_sat_f32_s trunc_sat_f32_u trunc_sat_f64_s trunc_sat_f64_u");
run(SAT | 0x0a, "memory", "copy fill");

run(SIMD | 0, "v128", "load load8x8_s load8x8_u load16x4_s load16x4_u load32x2_s load32x2_u");
run(SIMD | 7, "v128", "load8_splat load16_splat load32_splat load64_splat store const");
run(SIMD | 13, "i8x16", "shuffle swizzle splat");
run(SIMD | 16, "", "i16x8.splat i32x4.splat i64x2.splat f32x4.splat f64x2.splat");
run(SIMD | 21, "i8x16", "extract_lane_s extract_lane_u replace_lane");
run(SIMD | 24, "i16x8", "extract_lane_s extract_lane_u replace_lane");
run(SIMD | 27, "", "i32x4.extract_lane i32x4.replace_lane i64x2.extract_lane i64x2.replace_lane");
run(SIMD | 31, "", "f32x4.extract_lane f32x4.replace_lane f64x2.extract_lane f64x2.replace_lane");
run(SIMD | 35, "i8x16", INT_COMPARE);
run(SIMD | 45, "i16x8", INT_COMPARE);
run(SIMD | 55, "i32x4", INT_COMPARE);
run(SIMD | 65, "f32x4", FLOAT_COMPARE);
run(SIMD | 71, "f64x2", FLOAT_COMPARE);
run(SIMD | 77, "v128", "not and andnot or xor bitselect any_true");
run(SIMD | 84, "v128", "load8_lane load16_lane load32_lane load64_lane");
run(
  SIMD | 88,
  "v128",
  "store8_lane store16_lane store32_lane store64_lane load32_zero load64_zero",
);
run(SIMD | 94, "", "f32x4.demote_f64x2_zero f64x2.promote_low_f32x4");
run(SIMD | 96, "i8x16", "abs neg popcnt all_true bitmask narrow_i16x8_s narrow_i16x8_u");
run(SIMD | 103, "f32x4", "ceil floor trunc nearest");
run(SIMD | 107, "i8x16", "shl shr_s shr_u add add_sat_s add_sat_u sub sub_sat_s sub_sat_u");
run(SIMD | 116, "", "f64x2.ceil f64x2.floor");
run(SIMD | 118, "i8x16", "min_s min_u max_s max_u");
run(SIMD | 122, "", "f64x2.trunc i8x16.avgr_u");
run(SIMD | 124, "i16x8", "extadd_pairwise_i8x16_s extadd_pairwise_i8x16_u");
run(SIMD | 126, "i32x4", "extadd_pairwise_i16x8_s extadd_pairwise_i16x8_u");
run(SIMD | 128, "i16x8", "abs neg q15mulr_sat_s all_true bitmask narrow_i32x4_s narrow_i32x4_u");
run(
  SIMD | 135,
  "i16x8",
  "extend_low_i8x16_s extend_high_i8x16_s extend_low_i8x16_u extend_high_i8x16_u",
);
run(SIMD | 139, "i16x8", "shl shr_s shr_u add add_sat_s add_sat_u sub sub_sat_s sub_sat_u");
run(SIMD | 148, "", "f64x2.nearest");
run(SIMD | 149, "i16x8", "mul min_s min_u max_s max_u - avgr_u");
run(
  SIMD | 156,
  "i16x8",
  "extmul_low_i8x16_s extmul_high_i8x16_s extmul_low_i8x16_u extmul_high_i8x16_u",
);
run(SIMD | 160, "i32x4", "abs neg - all_true bitmask");
run(
  SIMD | 167,
  "i32x4",
  "extend_low_i16x8_s extend_high_i16x8_s extend_low_i16x8_u extend_high_i16x8_u",
);
run(
  SIMD | 171,
  "i32x4",
  "shl shr_s shr_u add - - sub - - - mul min_s min_u max_s max_u dot_i16x8_s",
);
run(
  SIMD | 188,
  "i32x4",
  "extmul_low_i16x8_s extmul_high_i16x8_s extmul_low_i16x8_u extmul_high_i16x8_u",
);
run(SIMD | 192, "i64x2", "abs neg - all_true bitmask");
run(
  SIMD | 199,
  "i64x2",
  "extend_low_i32x4_s extend_high_i32x4_s extend_low_i32x4_u extend_high_i32x4_u",
);
run(SIMD | 203, "i64x2", "shl shr_s shr_u add - - sub - - - mul eq ne lt_s gt_s le_s ge_s");
run(
  SIMD | 220,
  "i64x2",
  "extmul_low_i32x4_s extmul_high_i32x4_s extmul_low_i32x4_u extmul_high_i32x4_u",
);
run(SIMD | 224, "f32x4", "abs neg - sqrt add sub mul div min max pmin pmax");
run(SIMD | 236, "f64x2", "abs neg - sqrt add sub mul div min max pmin pmax");
run(SIMD | 248, "i32x4", "trunc_sat_f32x4_s trunc_sat_f32x4_u");
run(SIMD | 250, "f32x4", "convert_i32x4_s convert_i32x4_u");
run(SIMD | 252, "i32x4", "trunc_sat_f64x2_s_zero trunc_sat_f64x2_u_zero");
run(SIMD | 254, "f64x2", "convert_low_i32x4_s convert_low_i32x4_u");
run(
  SIMD | 0x105,
  "",
  "f32x4.relaxed_madd f32x4.relaxed_nmadd f64x2.relaxed_madd f64x2.relaxed_nmadd",
);
run(SIMD | 0x113, "i32x4", "relaxed_dot_i8x16_i7x16_add_s");

run(ATOMIC | 0x00, "memory.atomic", "notify wait32");
run(ATOMIC | 0x10, "i32.atomic", "load");
run(ATOMIC | 0x17, "i32.atomic", "store");
run(ATOMIC | 0x1e, "i32.atomic.rmw", "add");

export const hasOpcode = (name: string): boolean => OPCODES.has(name);

/** The opcode of an instruction by its text-format name. */
export function opcode(name: string): number {
  const code = OPCODES.get(name);
  invariant(code !== undefined, () => `WebAssembly has no instruction ${name}`);
  return code;
}
