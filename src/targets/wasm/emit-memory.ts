/** @file Loads and stores of every element type, scalar and vector. */

import {
  type Buffer,
  type Expr,
  elemBytes,
  elemOf,
  isFloatElem,
  isVector,
  type KType,
  lanesOf,
  type Stmt,
} from "../../kernel/ir.ts";
import { DTYPES, type DType, sizeOf } from "../../tensor/dtype.ts";
import { toBf16, toF16 } from "../../tensor/half.ts";
import { invariant } from "../../util/errors.ts";
import { baseOf, type Emitter, pushAddress, pushFullAddress } from "./emitter.ts";
import { floatBytes } from "./encoder.ts";
import { floatToHalf, halfToFloat } from "./functions.ts";

const SCALAR_LOADS: Readonly<Record<DType, string>> = {
  f32: "f32.load",
  f64: "f64.load",
  f16: "i32.load16_u",
  bf16: "i32.load16_u",
  i8: "i32.load8_s",
  u8: "i32.load8_u",
  bool: "i32.load8_u",
  i16: "i32.load16_s",
  u16: "i32.load16_u",
  i32: "i32.load",
  u32: "i32.load",
  i64: "i64.load",
  u64: "i64.load",
};

const SCALAR_STORES: Readonly<Record<DType, string>> = {
  f32: "f32.store",
  f64: "f64.store",
  f16: "i32.store16",
  bf16: "i32.store16",
  i8: "i32.store8",
  u8: "i32.store8",
  bool: "i32.store8",
  i16: "i32.store16",
  u16: "i32.store16",
  i32: "i32.store",
  u32: "i32.store",
  i64: "i64.store",
  u64: "i64.store",
};

/** log2 of the alignment every element of the buffer has. */
const alignOf = (b: Buffer): number => Math.log2(sizeOf(b.dtype));
const isHalf = (dtype: DType): dtype is "f16" | "bf16" => dtype === "f16" || dtype === "bf16";

export function emitLoad(e: Emitter, x: Extract<Expr, { readonly kind: "load" }>): void {
  const { buffer } = baseOf(e, x.buffer);
  const offset = pushAddress(e, x.buffer, x.index);
  if (isVector(x.type)) vectorLoad(e, x.type, buffer, offset, x.group);
  else {
    e.f.memory(SCALAR_LOADS[buffer.dtype], alignOf(buffer), offset);
    if (isHalf(buffer.dtype)) halfToFloat(e, buffer.dtype, "f32");
  }
}

/** The address is on the stack. */
function vectorLoad(
  e: Emitter,
  type: KType,
  buffer: Buffer,
  offset: number,
  group = lanesOf(type),
): void {
  const size = sizeOf(buffer.dtype);
  const elem = elemOf(type);
  const toFloat = isFloatElem(elem) && isHalf(buffer.dtype);
  const repeat = group < lanesOf(type);
  const bytes = group * size;
  const width = elemBytes(elem);
  const sign = DTYPES[buffer.dtype].kind === "int" ? "s" : "u";
  if (bytes === 8 && width === 2 * size && !repeat) {
    const name = `v128.load${size * 8}x${8 / size}_${sign}`;
    e.f.memory(name, alignOf(buffer), offset);
  } else {
    e.f.memory(rawLoad(bytes, repeat), alignOf(buffer), offset);
    for (let w = size; w < width; w *= 2) {
      const [from, to] = [`i${w * 8}x${16 / w}`, `i${w * 16}x${8 / w}`];
      e.f.op(`${to}.extend_low_${from}_${sign}`);
    }
  }
  if (toFloat) halfToFloat(e, buffer.dtype as "f16" | "bf16", type);
}

/** Loads bytes into the low end of a vector, or over all of it. */
function rawLoad(bytes: number, repeat: boolean): string {
  if (bytes === 16) return "v128.load";
  if (!repeat && (bytes === 8 || bytes === 4)) return `v128.load${bytes * 8}_zero`;
  invariant([1, 2, 4, 8].includes(bytes), () => `vector load of ${bytes} bytes`);
  return `v128.load${bytes * 8}_splat`;
}

export function emitStore(e: Emitter, s: Extract<Stmt, { readonly kind: "store" }>): void {
  const { buffer } = baseOf(e, s.buffer);
  const { type } = s.value;
  const offset = pushAddress(e, s.buffer, s.index);
  e.expr(s.value);
  if (!isVector(type)) {
    if (isHalf(buffer.dtype)) floatToHalf(e, buffer.dtype);
    e.f.memory(SCALAR_STORES[buffer.dtype], alignOf(buffer), offset);
    return;
  }
  const bytes = (s.lanes ?? lanesOf(type)) * sizeOf(buffer.dtype);
  if (bytes === 16) e.f.memory("v128.store", alignOf(buffer), offset);
  else e.f.memory(`v128.store${bytes * 8}_lane`, alignOf(buffer), offset, 0);
}

function pushByteCount(e: Emitter, count: Expr, size: number): void {
  if (count.kind === "const") e.f.i32(Number(count.value) * size);
  else {
    e.expr(count);
    if (size !== 1) e.f.i32(size).op("i32.mul");
  }
}

export function emitCopy(e: Emitter, s: Extract<Stmt, { readonly kind: "copy" }>): void {
  pushFullAddress(e, s.dst, s.dstIndex);
  pushFullAddress(e, s.src, s.srcIndex);
  pushByteCount(e, s.count, sizeOf(baseOf(e, s.dst).buffer.dtype));
  e.f.op("memory.copy", 0, 0);
}

/** The bytes of one element of a fill. */
function elementBytes(dtype: DType, value: number): readonly number[] {
  const { sizeBytes } = DTYPES[dtype];
  if (dtype === "f32" || dtype === "f64") return floatBytes(value, sizeBytes as 4 | 8);
  const half = dtype === "f16" ? toF16(value) : dtype === "bf16" ? toBf16(value) : value;
  const bits = BigInt(half);
  return Array.from({ length: sizeBytes }, (_, i) => Number((bits >> BigInt(8 * i)) & 255n));
}

export function emitFill(e: Emitter, s: Extract<Stmt, { readonly kind: "fill" }>): void {
  const { f } = e;
  const { buffer } = baseOf(e, s.buffer);
  const size = sizeOf(buffer.dtype);
  const bytes = elementBytes(buffer.dtype, s.value);
  if (bytes.every((b) => b === bytes[0])) {
    pushFullAddress(e, s.buffer, s.index);
    f.i32(bytes[0]!);
    pushByteCount(e, s.count, size);
    f.op("memory.fill", 0);
    return;
  }
  const word = bytes.reduce((sum, b, i) => sum | (BigInt(b) << BigInt(8 * i)), 0n);
  f.withLocal("i32", (at) =>
    f.withLocal("i32", (end) => {
      pushFullAddress(e, s.buffer, s.index);
      f.tee(at);
      pushByteCount(e, s.count, size);
      f.op("i32.add").set(end).get(at).get(end).op("i32.lt_u");
      f.block("if", () =>
        f.block("loop", () => {
          f.get(at);
          if (size === 8) f.i64(word).memory("i64.store", 3, 0);
          else f.i32(Number(word) | 0).memory(size === 4 ? "i32.store" : "i32.store16", 0, 0);
          f.get(at).i32(size).op("i32.add").tee(at).get(end).op("i32.lt_u").op("br_if", 0);
        }),
      );
    }),
  );
}
