/** @file Tensor types and values: row-major, contiguous, immutable by convention. */
import { UserError } from "../util/errors.ts";
import { product } from "../util/math.ts";
import { DTYPES, type DType, isBig, isByte, type TypedArray } from "./dtype.ts";
import { fromBf16, fromF16, toBf16, toF16 } from "./half.ts";

/**
 * How the integers of a value stand for reals: real = scale * (q - zeroPoint).
 * `scale` holds f32 values; both arrays have one entry, or one per index of `axis`.
 */
export interface QuantParams {
  readonly scale: readonly number[];
  readonly zeroPoint: readonly number[];
  /** Axis the entries run along; null: one entry for the whole tensor. */
  readonly axis: number | null;
}

export type Shape = readonly number[];

export interface TensorType {
  readonly dtype: DType;
  readonly shape: Shape;
  /** Present: the value is quantised and ops compute on the reals it stands for (docs/ir.md). */
  readonly quant?: QuantParams;
}

export interface Tensor {
  readonly type: TensorType;
  readonly data: TypedArray;
}

export const elementCount = (shape: Shape): number => product(shape);
export const byteSize = (type: TensorType): number =>
  elementCount(type.shape) * DTYPES[type.dtype].sizeBytes;

export const tensorType = (dtype: DType, shape: Shape, quant?: QuantParams): TensorType =>
  quant === undefined ? { dtype, shape } : { dtype, shape, quant };

export function makeTensor(type: TensorType, data: TypedArray): Tensor {
  const want = elementCount(type.shape);
  if (data.length !== want) {
    throw new UserError(
      "E_SHAPE",
      `tensor of shape [${type.shape}] needs ${want} elements, got ${data.length}`,
    );
  }
  return { type, data };
}

export const zeros = (type: TensorType): Tensor => ({
  type,
  data: DTYPES[type.dtype].alloc(elementCount(type.shape)),
});

/** A tensor from numbers (converted to the dtype as `writeNumber` does). */
export function tensorOf(dtype: DType, shape: Shape, values: ArrayLike<number>): Tensor {
  const t = zeros(tensorType(dtype, shape));
  const write = numberWriter(t);
  for (let i = 0; i < t.data.length; i++) write(i, values[i]!);
  return t;
}

export const scalarOf = (dtype: DType, value: number): Tensor => tensorOf(dtype, [], [value]);

/** Reads element i as a number; f16 and bf16 decoded, i64 beyond 2^53 rounded. */
export function numberReader(t: Tensor): (i: number) => number {
  const { data } = t;
  switch (t.type.dtype) {
    case "f16":
      return (i) => fromF16(Number(data[i]));
    case "bf16":
      return (i) => fromBf16(Number(data[i]));
    case "i64":
    case "u64":
      return (i) => Number(data[i]);
    default:
      return (i) => data[i] as number;
  }
}

/** Writes a number into element i: floats round to nearest even, integers wrap, bool is x != 0. */
export function numberWriter(t: Tensor): (i: number, x: number) => void {
  const data = t.data;
  const convert = converterTo(t.type.dtype);
  return (i, x) => {
    data[i] = convert(x);
  };
}

/** From a number to what the dtype's typed array stores (the array itself wraps and rounds the rest). */
function converterTo(dtype: DType): (x: number) => number | bigint {
  if (dtype === "f16") return toF16;
  if (dtype === "bf16") return toBf16;
  if (dtype === "bool") return (x) => (x !== 0 ? 1 : 0);
  if (isBig(dtype)) return (x) => (Number.isFinite(x) ? BigInt(Math.trunc(x)) : 0n);
  return (x) => x;
}

/** All elements as numbers. */
export function toNumbers(t: Tensor): number[] {
  const read = numberReader(t);
  const out: number[] = [];
  for (let i = 0; i < t.data.length; i++) out.push(read(i));
  return out;
}

/** All elements in double precision. */
export function toFloat64(t: Tensor): Float64Array {
  const read = numberReader(t);
  const out = new Float64Array(t.data.length);
  for (let i = 0; i < out.length; i++) out[i] = read(i);
  return out;
}

/** The bytes of the tensor, not copied. */
export const bytesOf = (t: Tensor): Uint8Array =>
  new Uint8Array(t.data.buffer, t.data.byteOffset, t.data.byteLength);

/** The same elements under another type of the same dtype and element count. Not copied. */
export const withType = (t: Tensor, type: TensorType): Tensor => ({ type, data: t.data });

export const sameShape = (a: Shape, b: Shape): boolean =>
  a.length === b.length && a.every((n, i) => n === b[i]);

export function sameQuant(a: QuantParams | undefined, b: QuantParams | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.axis === b.axis && sameShape(a.scale, b.scale) && sameShape(a.zeroPoint, b.zeroPoint);
}

/** f32 that stands for itself. */
export const isReal = (t: TensorType): boolean => t.dtype === "f32" && t.quant === undefined;

/** Quantised to 8 bits with one scale for the whole tensor: what tables of 256 entries can express. */
export const isQuantisedByte = (t: Pick<TensorType, "dtype" | "quant">): boolean =>
  isByte(t.dtype) && t.quant !== undefined && t.quant.axis === null;

export const sameType = (a: TensorType, b: TensorType): boolean =>
  a.dtype === b.dtype && sameShape(a.shape, b.shape) && sameQuant(a.quant, b.quant);
