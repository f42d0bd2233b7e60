/** @file Reading and writing kernel buffers: one slot per buffer, bound to memory at each call. */
import { DTYPES, type DType, type TypedArray } from "../tensor/dtype.ts";
import { fromBf16, fromF16, toBf16, toF16 } from "../tensor/half.ts";
import { InternalError } from "../util/errors.ts";
import type { Buffer, Elem } from "./ir.ts";
import type { Lane } from "./lane-ops.ts";

/** A buffer of the running kernel and where it lies now. */
export interface Slot {
  readonly buffer: Buffer;
  data: TypedArray;
}

export const makeSlot = (buffer: Buffer): Slot => ({ buffer, data: DTYPES[buffer.dtype].alloc(0) });

export function bindSlot(slot: Slot, memory: ArrayBufferLike, base: number): void {
  const { dtype, size } = slot.buffer;
  slot.data = DTYPES[dtype].view(memory, base, size);
}

export type Reader = (i: number) => Lane;
export type Writer = (i: number, x: Lane) => void;

/** Reads element i as a register value. `raw` gives f16 and bf16 as their bits. */
export function reader(s: Slot, raw = false): Reader {
  switch (s.buffer.dtype) {
    case "f32":
      return (i) => (s.data as Float32Array)[i]!;
    case "i8":
      return (i) => (s.data as Int8Array)[i]!;
    case "i32":
      return (i) => (s.data as Int32Array)[i]!;
    case "u32":
      return (i) => (s.data as Uint32Array)[i]! | 0;
    case "u64":
      return (i) => BigInt.asIntN(64, (s.data as BigUint64Array)[i]!);
    case "f16":
      if (raw) break;
      return (i) => fromF16((s.data as Uint16Array)[i]!);
    case "bf16":
      if (raw) break;
      return (i) => fromBf16((s.data as Uint16Array)[i]!);
  }
  return (i) => s.data[i]!;
}

/** Writes a register value into element i, wrapping or rounding. */
export function writer(s: Slot, raw = false): Writer {
  switch (s.buffer.dtype) {
    case "f16":
      if (raw) break;
      return (i, x) => {
        (s.data as Uint16Array)[i] = toF16(x as number);
      };
    case "bf16":
      if (raw) break;
      return (i, x) => {
        (s.data as Uint16Array)[i] = toBf16(x as number);
      };
    case "f32":
      return (i, x) => {
        (s.data as Float32Array)[i] = x as number;
      };
    case "i32":
      return (i, x) => {
        (s.data as Int32Array)[i] = x as number;
      };
  }
  return (i, x) => {
    s.data[i] = x;
  };
}

/** The vector element of the buffer's own width. f16 and bf16 have their bits as i16. */
export function ownElem(dtype: DType): Elem {
  if (dtype === "f32" || dtype === "f64") return dtype;
  return `i${DTYPES[dtype].sizeBytes * 8}` as Elem;
}

/** Throws when `count` elements from `index` do not lie inside the buffer. */
export function checkRange(b: Buffer, index: number, count: number): void {
  if (index >= 0 && count >= 0 && index + count <= b.size) return;
  throw new InternalError(
    `kernel: elements ${index}..${index + count - 1} of buffer ${b.name} (size ${b.size})`,
  );
}
