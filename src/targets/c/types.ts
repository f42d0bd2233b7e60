/** @file How registers, buffers and constants of the kernel IR are written in C. */
import { type Elem, elemBytes, elemOf, isVector, type KType, lanesOf } from "../../kernel/ir.ts";
import { type DType, isDType, sizeOf } from "../../tensor/dtype.ts";

const SCALARS: Readonly<Record<Elem, string>> = {
  i8: "int8_t",
  i16: "int16_t",
  i32: "int32_t",
  i64: "int64_t",
  f32: "float",
  f64: "double",
};

/** The C type of a register; vectors are typedefs of their own name. */
export const cType = (t: KType): string => (isVector(t) ? t : SCALARS[elemOf(t)]);

/** The unsigned type of the same shape: arithmetic in it wraps. */
export const unsignedType = (t: KType): string =>
  isVector(t) ? `u${t.slice(1)}` : `u${SCALARS[elemOf(t)]}`;

/** The integer type with the width and lanes of `t`. */
export const maskType = (t: KType): KType =>
  (isVector(t)
    ? `i${8 * elemBytes(elemOf(t))}x${lanesOf(t)}`
    : `i${8 * elemBytes(elemOf(t))}`) as KType;

/** Elements as callers of the model see them. */
export const PORT_TYPES: Readonly<Record<DType, string>> = {
  f32: "float",
  f64: "double",
  f16: "uint16_t",
  bf16: "uint16_t",
  i8: "int8_t",
  u8: "uint8_t",
  i16: "int16_t",
  u16: "uint16_t",
  i32: "int32_t",
  u32: "uint32_t",
  i64: "int64_t",
  u64: "uint64_t",
  bool: "uint8_t",
};

/** The type of buffer elements: memory is reused for other types, so these may alias. */
export const memoryType = (dtype: DType): string => `mem_${dtype}`;

/** Typedefs of the types whose names occur in `code`, comments aside. */
export function typedefs(code: string): string {
  const text = code.replace(/\/\*.*?\*\//gs, "");
  const vectors = text.match(/\b[iuf](?:8|16|32|64)x\d+(?:_mem)?\b/g) ?? [];
  const memory = (text.match(/\bmem_[a-z]+\d*\b/g) ?? []).filter((name) => isDType(name.slice(4)));
  return [...new Set([...vectors, ...memory])].sort().map(typedef).join("");
}

function typedef(name: string): string {
  if (name.startsWith("mem_")) {
    return `typedef ${PORT_TYPES[name.slice(4) as DType]} ${name} __attribute__((may_alias));\n`;
  }
  const type = name.replace("_mem", "") as KType;
  const signed = type.replace("u", "i") as KType;
  const bytes = elemBytes(elemOf(signed)) * lanesOf(signed);
  const elem = type.startsWith("u") ? `u${SCALARS[elemOf(signed)]}` : SCALARS[elemOf(type)];
  const memory = name.endsWith("_mem") ? `, aligned(${elemBytes(elemOf(signed))}), may_alias` : "";
  return `typedef ${elem} ${name} __attribute__((vector_size(${bytes})${memory}));\n`;
}

function floatText(value: number, elem: "f32" | "f64"): string {
  const suffix = elem === "f32" ? "f" : "";
  if (Number.isNaN(value)) return `__builtin_nan${suffix}("")`;
  if (!Number.isFinite(value)) return `${value < 0 ? "-" : ""}__builtin_inf${suffix}()`;
  if (Object.is(value, -0)) return `-0.0${suffix}`;
  let text = String(value);
  for (let digits = 1; elem === "f32" && digits <= 9; digits++) {
    const short = String(Number(value.toPrecision(digits)));
    if (Math.fround(Number(short)) !== value) continue;
    text = short;
    break;
  }
  return `${/[.e]/.test(text) ? text : `${text}.0`}${suffix}`;
}

function intText(value: number | bigint, bits: number): string {
  const x = BigInt.asIntN(bits, BigInt(value));
  if (bits === 64) return x === -(1n << 63n) ? "INT64_MIN" : `INT64_C(${x})`;
  return bits === 32 && x === -(1n << 31n) ? "INT32_MIN" : `${x}`;
}

/** A constant of one lane. */
export function literal(elem: Elem, value: number | bigint): string {
  if (elem === "f32") return floatText(Math.fround(Number(value)), elem);
  if (elem === "f64") return floatText(Number(value), elem);
  return intText(value, 8 * elemBytes(elem));
}

/** The text without the parentheses around all of it. */
export function bare(text: string): string {
  if (!text.startsWith("(")) return text;
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    if (text[i] === "(") depth++;
    if (text[i] === ")") depth--;
    if (depth === 0) return i === text.length - 1 ? text.slice(1, -1) : text;
  }
  return text;
}

/** Byte size of `count` elements as C text. */
export const byteCount = (count: string, dtype: DType): string =>
  /^\d+$/.test(count)
    ? String(Number(count) * sizeOf(dtype))
    : sizeOf(dtype) === 1
      ? `(size_t)(${bare(count)})`
      : `(size_t)(${bare(count)}) * ${sizeOf(dtype)}`;
