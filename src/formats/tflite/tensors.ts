/** @file Types and constants of the tensors of a TensorFlow Lite file. */
import { DTYPES, type DType } from "../../tensor/dtype.ts";
import {
  elementCount,
  type QuantParams,
  type Tensor,
  type TensorType,
  tensorType,
  zeros,
} from "../../tensor/tensor.ts";
import { UserError } from "../../util/errors.ts";
import { checkShape } from "../limits.ts";
import type { FlatReader } from "./flat.ts";
import type { TfliteTensor } from "./read.ts";
import { DTYPE_OF } from "./schema.ts";

const where = (t: TfliteTensor): string => `tensor '${t.name}'`;
const malformed = (t: TfliteTensor, message: string): UserError =>
  new UserError("E_FORMAT", message, { where: where(t) });

/**
 * The element type of a tensor. Throws E_UNSUPPORTED for strings, complex numbers and resources.
 */
export function dtypeOf(t: TfliteTensor): DType {
  const dtype = DTYPE_OF[t.type];
  if (dtype === undefined) {
    throw new UserError("E_UNSUPPORTED", `element type ${t.type}`, { where: where(t) });
  }
  return dtype;
}

const isQuantisable = (dtype: DType): boolean =>
  dtype === "i8" || dtype === "u8" || dtype === "i16";

/**
 * The declared type, shape included. Parameters on other than 8- and 16-bit integers carry no
 * meaning of their own (biases, indices) and are dropped.
 */
export function declaredType(t: TfliteTensor, shape: readonly number[] = t.shape): TensorType {
  checkShape(shape, where(t));
  const dtype = dtypeOf(t);
  const quant = isQuantisable(dtype) ? quantOf(t, dtype, shape) : undefined;
  return tensorType(dtype, shape, quant);
}

function quantOf(t: TfliteTensor, dtype: DType, shape: readonly number[]): QuantParams | undefined {
  const q = t.quantization;
  if (q === null || q.scale.length === 0) return undefined;
  if (q.detailsType !== 0) {
    throw new UserError("E_UNSUPPORTED", "custom or blockwise quantisation", { where: where(t) });
  }
  const { scale } = q;
  const { min, max } = DTYPES[dtype];
  const zeroPoint = scale.map((_, i) => q.zeroPoint[i] ?? q.zeroPoint[0] ?? 0);
  if (scale.some((s) => !(s > 0 && Number.isFinite(s)))) {
    throw malformed(t, `scale ${scale.find((s) => !(s > 0))} is not a positive number`);
  }
  if (zeroPoint.some((z) => z < min || z > max)) {
    throw malformed(t, `zero point ${zeroPoint.find((z) => z < min || z > max)} is not a ${dtype}`);
  }
  if (scale.length === 1) return { scale, zeroPoint, axis: null };
  const axis = q.quantizedDimension;
  if (axis < 0 || shape[axis] !== scale.length) {
    throw malformed(t, `${scale.length} scales for axis ${axis} of shape [${shape}]`);
  }
  return { scale, zeroPoint, axis };
}

/** The constant held in the file: a view of it where aligned, otherwise a copy. */
export function constantOf(reader: FlatReader, t: TfliteTensor): Tensor {
  if (t.isSparse) {
    throw new UserError("E_UNSUPPORTED", "sparse constants", { where: where(t) });
  }
  const type = declaredType(t);
  const n = elementCount(type.shape);
  if (t.data === null) return zeros(type);
  const bytes = reader.view(t.data);
  const want = t.type === "INT4" ? Math.ceil(n / 2) : n * DTYPES[type.dtype].sizeBytes;
  if (bytes.length !== want) {
    throw malformed(
      t,
      `shape [${t.shape}] of ${t.type} needs ${want} bytes, the file has ${bytes.length}`,
    );
  }
  if (t.type === "INT4") return { type, data: unpackInt4(bytes, n) };
  const aligned =
    bytes.byteOffset % DTYPES[type.dtype].sizeBytes === 0 ? bytes : new Uint8Array(bytes);
  return { type, data: DTYPES[type.dtype].view(aligned.buffer, aligned.byteOffset, n) };
}

/** Two signed 4-bit values a byte, the low half first. */
function unpackInt4(bytes: Uint8Array, n: number): Int8Array {
  return Int8Array.from({ length: n }, (_, i) => (bytes[i >> 1]! << (i & 1 ? 24 : 28)) >> 28);
}

/**
 * Depthwise weights [1, kh, kw, C] as [C, kh, kw, 1], per-channel parameters included.
 * The caller has checked the rank.
 */
export function depthwiseWeights(t: Tensor): Tensor {
  const [, kh, kw, channels] = t.type.shape as readonly [number, number, number, number];
  const { quant, dtype } = t.type;
  const moved = quant && quant.axis !== null ? { ...quant, axis: 0 } : quant;
  const out = zeros(tensorType(dtype, [channels, kh, kw, 1], moved));
  const taps = kh * kw;
  for (let c = 0; c < channels; c++) {
    for (let k = 0; k < taps; k++) out.data[c * taps + k] = t.data[k * channels + c]!;
  }
  return out;
}
