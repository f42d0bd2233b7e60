/**
 * @file Where an instruction does what compilers do not find by themselves: the intrinsic for each register
 * width, guarded by the macro of its instruction set, with plain C as the other branch.
 */
import {
  type BinaryOp,
  elemBytes,
  elemOf,
  type Half,
  isVector,
  type KType,
  lanesOf,
  type UnaryOp,
} from "../../kernel/ir.ts";
import type { Cpu } from "./cpu.ts";

/** Lines of a function's body on instruction sets that have the macros. */
export interface Intrinsic {
  readonly macros: readonly string[];
  readonly body: string;
}

const guard = (macros: readonly string[]): string =>
  `#if ${macros.map((m) => `defined(${m})`).join(" && ")}`;

/** The plain body, or the intrinsic where the compiler has it. */
export function guarded(intrinsic: Intrinsic | null, plain: string): string {
  if (intrinsic === null) return plain;
  return `${guard(intrinsic.macros)}\n${intrinsic.body}\n#else\n${plain}\n#endif`;
}

const bitsOf = (t: KType): number => lanesOf(t) * 8 * elemBytes(elemOf(t));
const isF32Vector = (t: KType): boolean => elemOf(t) === "f32" && isVector(t);

/** How x86 names a register width: in intrinsics, in types, and the macro of the instructions on it. */
interface Width {
  readonly infix: string;
  readonly int: string;
  readonly float: string;
  readonly macro: string;
}

/** `basic`: the instructions are in AVX, AVX-512F or SSE2; else in AVX2, AVX-512BW or SSE4.1. */
function widthOf(t: KType, basic = false): Width | null {
  switch (bitsOf(t)) {
    case 128:
      return {
        infix: "",
        int: "__m128i",
        float: "__m128",
        macro: basic ? "__SSE2__" : "__SSE4_1__",
      };
    case 256:
      return {
        infix: "256",
        int: "__m256i",
        float: "__m256",
        macro: basic ? "__AVX__" : "__AVX2__",
      };
    case 512:
      return {
        infix: "512",
        int: "__m512i",
        float: "__m512",
        macro: basic ? "__AVX512F__" : "__AVX512BW__",
      };
    default:
      return null;
  }
}

const neon = (body: string): Intrinsic => ({ macros: ["__ARM_NEON", "__aarch64__"], body });

/** Sums of pairs of 16-bit products: `a` and `b` of type i16xN. */
export function dot16Intrinsic({ isa }: Cpu, of: KType): Intrinsic | null {
  const w = widthOf(of);
  if (isa === "x86" && w !== null) {
    const body = `return (i32x${lanesOf(of) / 2})_mm${w.infix}_madd_epi16((${w.int})a, (${w.int})b);`;
    return { macros: [w.infix === "" ? "__SSE2__" : w.macro], body };
  }
  if (isa !== "arm" || bitsOf(of) !== 128) return null;
  const products = "const int16x8_t x = (int16x8_t)a, y = (int16x8_t)b;";
  const low = "vmull_s16(vget_low_s16(x), vget_low_s16(y))";
  return neon(`${products}\nreturn (i32x4)vpaddq_s32(${low}, vmull_high_s16(x, y));`);
}

/** c plus sums of pairs of 16-bit products. */
export function addDot16Intrinsic({ isa, dot8 }: Cpu, of: KType): Intrinsic | null {
  const w = widthOf(of);
  if (isa !== "x86" || !dot8 || w === null) return null;
  const operands = `(${w.int})c, (${w.int})a, (${w.int})b`;
  const body = `return (i32x${lanesOf(of) / 2})_mm${w.infix}_dpwssd_epi32(${operands});`;
  return { macros: VNNI, body };
}

/** c plus sums of four 8-bit products: `a` signed; `b` unsigned on x86 (DOT8_FLIP), signed on ARM. */
export function dot8Intrinsic({ isa, dot8 }: Cpu, of: KType): Intrinsic | null {
  const w = widthOf(of);
  if (!dot8 || w === null) return null;
  if (isa === "x86") {
    const operands = `(${w.int})c, (${w.int})b, (${w.int})a`;
    const body = `return (i32x${lanesOf(of) / 4})_mm${w.infix}_dpbusd_epi32(${operands});`;
    return { macros: VNNI, body };
  }
  if (bitsOf(of) !== 128) return null;
  const operands = "(int32x4_t)c, (int8x16_t)a, (int8x16_t)b";
  return { macros: ["__ARM_FEATURE_DOTPROD"], body: `return (i32x4)vdotq_s32(${operands});` };
}

/** min and max of integer vectors. */
export function intExtremeIntrinsic({ isa }: Cpu, op: BinaryOp, type: KType): Intrinsic | null {
  const w = widthOf(type);
  const bits = 8 * elemBytes(elemOf(type));
  const [name, unsigned] = op.split("_");
  if (isa === "arm" && bitsOf(type) === 128 && bits < 64) {
    const c = `${unsigned === undefined ? "" : "u"}int${bits}x${lanesOf(type)}_t`;
    const kind = `${unsigned === undefined ? "s" : "u"}${bits}`;
    return neon(`return (${type})v${name}q_${kind}((${c})a, (${c})b);`);
  }
  if (isa !== "x86" || w === null || bits > 32) return null;
  const kind = `ep${unsigned === undefined ? "i" : "u"}${bits}`;
  return {
    macros: [w.macro],
    body: `return (${type})_mm${w.infix}_${name}_${kind}((${w.int})a, (${w.int})b);`,
  };
}

/** min and max of f32 vectors, NaN and -0 as the IR says. */
export function floatExtremeIntrinsic(
  { isa }: Cpu,
  op: "min" | "max",
  type: KType,
): Intrinsic | null {
  if (isa !== "arm" || type !== "f32x4") return null;
  return neon(`return (f32x4)v${op}q_f32((float32x4_t)a, (float32x4_t)b);`);
}

/**
 * min or max of `a` and `b`, where `b` is a constant that is not NaN: where no operand is the larger, x86 gives
 * its second one, which is what the IR wants of `a`, but for the larger of -0 and 0.
 */
export function clampIntrinsic({ isa }: Cpu, op: "min" | "max", type: KType): Intrinsic | null {
  const w = widthOf(type, true);
  if (isa !== "x86" || !isF32Vector(type) || w === null) return null;
  const body = `return (${type})_mm${w.infix}_${op}_ps((${w.float})b, (${w.float})a);`;
  return { macros: [w.macro], body };
}

const ROUNDINGS: Partial<Record<UnaryOp, readonly [x86: number, arm: string]>> = {
  nearest: [8, "vrndnq_f32"],
  floor: [9, "vrndmq_f32"],
  ceil: [10, "vrndpq_f32"],
  trunc: [11, "vrndq_f32"],
};

/** Roundings and roots of f32 vectors. */
export function floatUnaryIntrinsic({ isa }: Cpu, op: UnaryOp, type: KType): Intrinsic | null {
  if (!isF32Vector(type)) return null;
  const rounding = ROUNDINGS[op];
  if (isa === "arm" && type === "f32x4") {
    const name = op === "sqrt" ? "vsqrtq_f32" : rounding?.[1];
    return name === undefined ? null : neon(`return (f32x4)${name}((float32x4_t)a);`);
  }
  const w = widthOf(type, true);
  if (isa !== "x86" || w === null) return null;
  const call = (name: string, more = ""): string =>
    `return (${type})_mm${w.infix}_${name}_ps((${w.float})a${more});`;
  if (op === "sqrt") return { macros: [w.macro], body: call("sqrt") };
  if (rounding === undefined) return null;
  const macro = w.infix === "" ? "__SSE4_1__" : w.macro;
  const name = w.infix === "512" ? "roundscale" : "round";
  return { macros: [macro], body: call(name, `, ${rounding[0]}`) };
}

/** Two vectors saturated to half the width, `a` in front. */
export function narrowIntrinsic(
  { isa }: Cpu,
  from: KType,
  to: KType,
  signed: boolean,
): Intrinsic | null {
  const bits = 8 * elemBytes(elemOf(from));
  if (isa === "arm" && bitsOf(from) === 128 && bits <= 32) {
    const n = lanesOf(from);
    const [half, name] = signed ? ["s", "vqmovn"] : ["u", "vqmovun"];
    const low = `${name}_s${bits}((int${bits}x${n}_t)a)`;
    const high = `${name}_s${bits}((int${bits}x${n}_t)b)`;
    return neon(`return (${to})vcombine_${half}${bits / 2}(${low}, ${high});`);
  }
  const w = widthOf(from);
  if (isa !== "x86" || w === null || bits > 32) return null;
  const call = `_mm${w.infix}_pack${signed ? "s" : "us"}_epi${bits}((${w.int})a, (${w.int})b)`;
  if (w.infix === "") return { macros: [w.macro], body: `return (${to})${call};` };
  if (w.infix === "256") {
    return { macros: [w.macro], body: `return (${to})_mm256_permute4x64_epi64(${call}, 0xd8);` };
  }
  const order = "_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7)";
  return { macros: [w.macro], body: `return (${to})_mm512_permutexvar_epi64(${order}, ${call});` };
}

/** 64-bit products of half of the lanes of i32 vectors. */
export function extmulIntrinsic(
  { isa }: Cpu,
  from: KType,
  to: KType,
  half: Half,
): Intrinsic | null {
  if (elemOf(from) !== "i32") return null;
  const whole = half === "low" || half === "high";
  if (isa === "arm" && from === "i32x4" && whole) {
    const operands = "(int32x4_t)a, (int32x4_t)b";
    if (half === "high") return neon(`return (i64x2)vmull_high_s32(${operands});`);
    const low = (x: string): string => `vget_low_s32((int32x4_t)${x})`;
    return neon(`return (i64x2)vmull_s32(${low("a")}, ${low("b")});`);
  }
  const w = widthOf(from);
  if (isa !== "x86" || w === null) return null;
  const mm = `_mm${w.infix}`;
  const operand = (x: string): string => {
    const v = `(${w.int})${x}`;
    if (half === "even") return v;
    if (half === "odd") return `${mm}_srli_epi64(${v}, 32)`;
    const part =
      w.infix === ""
        ? half === "low"
          ? v
          : `_mm_unpackhi_epi64(${v}, ${v})`
        : w.infix === "256"
          ? `_mm256_extracti128_si256(${v}, ${half === "low" ? 0 : 1})`
          : `_mm512_extracti64x4_epi64(${v}, ${half === "low" ? 0 : 1})`;
    return `${mm}_cvtepi32_epi64(${part})`;
  };
  return {
    macros: [w.macro],
    body: `return (${to})${mm}_mul_epi32(${operand("a")}, ${operand("b")});`,
  };
}

/** How x86 reads so many bytes at `p` into the low end of a register; four are in `v`. */
const X86_LOADS: Readonly<Record<number, string>> = {
  4: "_mm_cvtsi32_si128(v)",
  8: "_mm_loadl_epi64((const __m128i *)p)",
  16: "_mm_loadu_si128((const __m128i *)p)",
  32: "_mm256_loadu_si256((const __m256i *)p)",
};

/** Integers of `bits` at `p`, each widened to a lane of `to`. */
export function widenIntrinsic(
  { isa }: Cpu,
  bits: number,
  signed: boolean,
  to: KType,
): Intrinsic | null {
  const w = widthOf(to);
  const load = X86_LOADS[(bits / 8) * lanesOf(to)];
  if (isa !== "x86" || w === null || load === undefined) return null;
  const name = `_mm${w.infix}_cvtep${signed ? "i" : "u"}${bits}_epi${8 * elemBytes(elemOf(to))}`;
  const first = load.includes("(v)") ? "int32_t v;\nmemcpy(&v, p, 4);\n" : "";
  return { macros: [w.macro], body: `${first}return (${to})${name}(${load});` };
}

/** The low or high half of a vector of integers, each widened to a lane of `to`. */
export function extendIntrinsic(
  { isa }: Cpu,
  from: KType,
  to: KType,
  low: boolean,
  signed: boolean,
): Intrinsic | null {
  const w = widthOf(from);
  if (isa !== "x86" || w === null || bitsOf(to) !== bitsOf(from)) return null;
  const v = `(${w.int})a`;
  const name = `_mm${w.infix}_cvtep${signed ? "i" : "u"}${8 * elemBytes(elemOf(from))}_epi${8 * elemBytes(elemOf(to))}`;
  const part = {
    "": low ? v : `_mm_unpackhi_epi64(${v}, ${v})`,
    "256": `_mm256_extracti128_si256(${v}, ${low ? 0 : 1})`,
    "512": `_mm512_extracti64x4_epi64(${v}, ${low ? 0 : 1})`,
  }[w.infix];
  return { macros: [w.macro], body: `return (${to})${name}(${part});` };
}

const VNNI = ["__AVX512VNNI__", "__AVX512VL__"];
const readsUnsigned = ({ isa, dot8 }: Cpu): boolean => isa === "x86" && dot8;

/** The argument "flip" (see dot8 in kernel/ir.ts). */
export const flipText = (cpu: Cpu): string => (readsUnsigned(cpu) ? "DOT8_FLIP" : "0");

/** Lines in front of code that may use intrinsics. */
export function intrinsicsPrelude(cpu: Cpu, code: string): string {
  const header =
    cpu.isa === "arm"
      ? "#if defined(__ARM_NEON)\n#include <arm_neon.h>\n#endif\n"
      : "#if defined(__SSE2__)\n#include <immintrin.h>\n#endif\n";
  const flip =
    `\n${guard(VNNI)}\n#define DOT8_FLIP INT32_C(-2139062144)\n` +
    "#else\n#define DOT8_FLIP 0\n#endif\n";
  return (
    (/\b_mm\d*_|\bv[a-z]+q?_[a-z0-9_]+\(/.test(code) && cpu.isa !== null ? header : "") +
    (code.includes("DOT8_FLIP") ? flip : "")
  );
}
