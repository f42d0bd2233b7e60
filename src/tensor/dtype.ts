/** @file Element types of tensors and the typed array each is stored in. */

/** f16 and bf16 are stored as their bits in a Uint16Array; bool as 0 or 1 in a Uint8Array. */
export type DType =
  | "f32"
  | "f64"
  | "f16"
  | "bf16"
  | "i8"
  | "u8"
  | "i16"
  | "u16"
  | "i32"
  | "u32"
  | "i64"
  | "u64"
  | "bool";

export type TypedArray =
  | Float32Array
  | Float64Array
  | Uint16Array
  | Int8Array
  | Uint8Array
  | Int16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array;

export interface DTypeInfo {
  readonly sizeBytes: number;
  readonly kind: "float" | "int" | "uint" | "bool";
  /** Allocates zeroed storage for n elements. */
  readonly alloc: (n: number) => TypedArray;
  /** A view of bytes; `offset` must be a multiple of sizeBytes. */
  readonly view: (buffer: ArrayBufferLike, offset: number, n: number) => TypedArray;
  /** Smallest and largest integer; floats: the finite range. */
  readonly min: number;
  readonly max: number;
}

type Ctor<T extends TypedArray> = {
  new (n: number): T;
  new (buffer: ArrayBufferLike, offset: number, n: number): T;
};

const info = <T extends TypedArray>(
  sizeBytes: number,
  kind: DTypeInfo["kind"],
  ctor: Ctor<T>,
  min: number,
  max: number,
): DTypeInfo => ({
  sizeBytes,
  kind,
  alloc: (n) => new ctor(n),
  view: (buffer, offset, n) => new ctor(buffer, offset, n),
  min,
  max,
});

const F32_MAX = 3.4028234663852886e38;

/** Every dtype with its storage. i64 and u64 limits are rounded to the nearest double. */
export const DTYPES: Readonly<Record<DType, DTypeInfo>> = {
  f32: info(4, "float", Float32Array, -F32_MAX, F32_MAX),
  f64: info(8, "float", Float64Array, -Number.MAX_VALUE, Number.MAX_VALUE),
  f16: info(2, "float", Uint16Array, -65504, 65504),
  bf16: info(2, "float", Uint16Array, -3.3895313892515355e38, 3.3895313892515355e38),
  i8: info(1, "int", Int8Array, -128, 127),
  u8: info(1, "uint", Uint8Array, 0, 255),
  i16: info(2, "int", Int16Array, -32768, 32767),
  u16: info(2, "uint", Uint16Array, 0, 65535),
  i32: info(4, "int", Int32Array, -2147483648, 2147483647),
  u32: info(4, "uint", Uint32Array, 0, 4294967295),
  i64: info(8, "int", BigInt64Array, -(2 ** 63), 2 ** 63),
  u64: info(8, "uint", BigUint64Array, 0, 2 ** 64),
  bool: info(1, "bool", Uint8Array, 0, 1),
};

export const sizeOf = (dtype: DType): number => DTYPES[dtype].sizeBytes;
export const isFloat = (dtype: DType): boolean => DTYPES[dtype].kind === "float";
export const isInteger = (dtype: DType): boolean =>
  DTYPES[dtype].kind === "int" || DTYPES[dtype].kind === "uint";
export const isByte = (dtype: DType): dtype is "i8" | "u8" => dtype === "i8" || dtype === "u8";
/** i64 and u64: elements are bigint. */
export const isBig = (dtype: DType): boolean => dtype === "i64" || dtype === "u64";
export const isDType = (name: string): name is DType => Object.hasOwn(DTYPES, name);
