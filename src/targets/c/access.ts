/** @file Loads and stores of every element type, scalar and vector, as C text. */
import {
  type Buffer,
  type Elem,
  elemBytes,
  elemOf,
  isFloatElem,
  isVector,
  type KType,
  lanesOf,
} from "../../kernel/ir.ts";
import { DTYPES, type DType, sizeOf } from "../../tensor/dtype.ts";
import { toBf16, toF16 } from "../../tensor/half.ts";
import { splatText } from "./casts.ts";
import { type Helpers, indent } from "./helpers.ts";
import { guarded, widenIntrinsic } from "./intrinsics.ts";
import { cType, memoryType, PORT_TYPES, unsignedType } from "./types.ts";

const isHalf = (dtype: DType): dtype is "f16" | "bf16" => dtype === "f16" || dtype === "bf16";
const ownElem = (dtype: DType): Elem =>
  dtype === "f32" || dtype === "f64" ? dtype : (`i${8 * sizeOf(dtype)}` as Elem);

const FROM_F16 = `uint32_t m = (uint32_t)(a & 0x7fff) << 13;
union { uint32_t bits; float value; } u;
u.bits = m;
u.value *= 0x1p112f;
if (m >= 0x0f800000) u.bits = m | 0x7f800000;
u.bits |= (uint32_t)(a & 0x8000) << 16;
return u.value;`;

const TO_F16 = `union { float value; uint32_t bits; } u;
u.value = a;
const uint32_t sign = (u.bits >> 16) & 0x8000;
const uint32_t x = u.bits & 0x7fffffff;
if (x > 0x7f800000) return (uint16_t)(sign | 0x7e00);
if (x >= 0x477ff000) return (uint16_t)(sign | 0x7c00);
if (x >= 0x38800000) return (uint16_t)(sign | ((x - 0x38000000 + 0xfff + ((x >> 13) & 1)) >> 13));
u.bits = x;
u.value += 0.5f;
return (uint16_t)(sign | (u.bits - 0x3f000000));`;

const FROM_BF16 = `union { uint32_t bits; float value; } u;
u.bits = (uint32_t)a << 16;
return u.value;`;

const TO_BF16 = `union { float value; uint32_t bits; } u;
u.value = a;
if ((u.bits & 0x7fffffff) > 0x7f800000) return (uint16_t)((u.bits >> 16) | 0x40);
return (uint16_t)((u.bits + 0x7fff + ((u.bits >> 16) & 1)) >> 16);`;

function fromHalf(h: Helpers, kind: "f16" | "bf16"): string {
  const name = `from_${kind}`;
  const body = kind === "f16" ? FROM_F16 : FROM_BF16;
  return h.once(name, () => `static inline float ${name}(uint16_t a) {\n${indent(body)}}\n`);
}

function toHalf(h: Helpers, kind: "f16" | "bf16"): string {
  const name = `to_${kind}`;
  const body = kind === "f16" ? TO_F16 : TO_BF16;
  return h.once(name, () => `static inline uint16_t ${name}(float a) {\n${indent(body)}}\n`);
}

/** The scalar register value of an element, given the element as text. */
function readText(h: Helpers, dtype: DType, element: string): string {
  if (isHalf(dtype)) return `${fromHalf(h, dtype)}(${element})`;
  if (dtype === "u32") return `((int32_t)${element})`;
  return dtype === "u64" ? `((int64_t)${element})` : element;
}

/** A load of element(s) `name[index]`. */
export function loadText(
  h: Helpers,
  b: Buffer,
  name: string,
  index: string,
  type: KType,
  group = lanesOf(type),
): string {
  if (!isVector(type)) return readText(h, b.dtype, `${name}[${index}]`);
  const own = elemOf(type) === ownElem(b.dtype);
  const raw = own && isHalf(b.dtype);
  if (group === 1) {
    const element = `${name}[${index}]`;
    const wide = elemOf(type) === "i64" && !own;
    const read = raw ? element : readText(h, wide ? "i8" : b.dtype, element);
    return splatText(h, type, read);
  }
  const suffix = group === lanesOf(type) ? "" : `_group${group}`;
  const loader = own && suffix === "" ? plainLoad(h, type) : groupLoad(h, b.dtype, type, group);
  return `${loader}(&${name}[${index}])`;
}

function plainLoad(h: Helpers, type: KType): string {
  const name = `load_${type}`;
  return h.once(
    name,
    () => `static inline ${type} ${name}(const void *p) {\n  return *(const ${type}_mem *)p;\n}\n`,
  );
}

/** Loads `group` elements, widens them, and repeats them over the vector. */
function groupLoad(h: Helpers, dtype: DType, type: KType, group: number): string {
  const n = lanesOf(type);
  const name = `load_${type}_of_${dtype}${group === n ? "" : `_group${group}`}`;
  return h.once(name, () => {
    const elem = elemOf(type);
    const own = elem === ownElem(dtype);
    const signature = `static inline ${type} ${name}(const ${memoryType(dtype)} *p)`;
    if (!own && !isFloatElem(elem) && group === n) {
      const part = `${ownElem(dtype)}x${n}` as KType;
      const source = DTYPES[dtype].kind === "int" ? part : unsignedType(part);
      const signed = DTYPES[dtype].kind === "int";
      const plain =
        `${source} part;\nmemcpy(&part, p, ${n * sizeOf(dtype)});\n` +
        `return __builtin_convertvector(part, ${type});`;
      const intrinsic = widenIntrinsic(h.cpu, 8 * sizeOf(dtype), signed, type);
      return `${signature} {\n${indent(guarded(intrinsic, plain))}}\n`;
    }
    const whole = 8 * group * sizeOf(dtype);
    if (own && group > 1 && group < n && [16, 32, 64].includes(whole)) {
      const repeated = `i${whole}x${n / group}` as KType;
      const value = splatText(h, repeated, "v");
      const body = `int${whole}_t v;\nmemcpy(&v, p, ${whole / 8});\nreturn (${type})${value};`;
      return `${signature} {\n${indent(body)}}\n`;
    }
    const cast = own && !isFloatElem(elem) ? `(${cType(elem as KType)})` : "";
    const half = isHalf(dtype) && isFloatElem(elem);
    const lane = (i: number): string => (half ? readText(h, dtype, `p[${i}]`) : `${cast}p[${i}]`);
    const lanes = Array.from({ length: n }, (_, i) => lane(i % group));
    return `${signature} {\n  return (${type}){${lanes.join(", ")}};\n}\n`;
  });
}

/** A store to `name[index]`; `lanes`: of a vector only the first. */
export function storeText(
  h: Helpers,
  b: Buffer,
  target: string,
  type: KType,
  value: string,
  lanes = lanesOf(type),
): string {
  if (isVector(type)) {
    const part = lanes === lanesOf(type) ? "" : `_lanes${lanes}`;
    const name = `store_${type}${part}`;
    const body =
      part === "" ? `*(${type}_mem *)p = a;` : `memcpy(p, &a, ${lanes * elemBytes(elemOf(type))});`;
    h.once(name, () => `static inline void ${name}(void *p, ${type} a) {\n  ${body}\n}\n`);
    return `${name}(&${target}, ${value});`;
  }
  if (isHalf(b.dtype)) return `${target} = ${toHalf(h, b.dtype)}(${value});`;
  const same = cType(type) === PORT_TYPES[b.dtype];
  return `${target} = ${same ? value : `(${PORT_TYPES[b.dtype]})(${value})`};`;
}

/** The bytes of one element of a fill. */
function fillBytes(dtype: DType, value: number): Uint8Array {
  const data = DTYPES[dtype].alloc(1);
  const half = dtype === "f16" ? toF16(value) : dtype === "bf16" ? toBf16(value) : value;
  data[0] = dtype === "i64" || dtype === "u64" ? BigInt(value) : half;
  return new Uint8Array(data.buffer);
}

/** Fills `count` elements from `target`. */
export function fillText(
  h: Helpers,
  dtype: DType,
  target: string,
  value: number,
  count: string,
  size: string,
): string {
  const bytes = fillBytes(dtype, value);
  if (bytes.every((x) => x === bytes[0])) return `memset(&${target}, ${bytes[0]}, ${size});`;
  const width = 8 * bytes.length;
  const word = bytes.reduce((sum, x, i) => sum | (BigInt(x) << BigInt(8 * i)), 0n);
  const name = `fill_u${width}`;
  h.once(name, () => {
    const copy = `memcpy((char *)p + ${bytes.length} * i, &a, ${bytes.length});`;
    return (
      `static inline void ${name}(void *p, uint${width}_t a, int32_t count) {\n` +
      `  for (size_t i = 0; i < (size_t)count; i++) ${copy}\n}\n`
    );
  });
  return `${name}(&${target}, UINT${width}_C(${word}), ${count});`;
}
