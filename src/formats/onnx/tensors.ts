/** @file ONNX element types and TensorProto data as tensors: views of the file where aligned. */
import { DTYPES, type DType, type TypedArray } from "../../tensor/dtype.ts";
import { bytesOf, elementCount, type Tensor, tensorType, zeros } from "../../tensor/tensor.ts";
import { filledCells, takeCells } from "../../util/cells.ts";
import { UserError } from "../../util/errors.ts";
import { checkLimit, checkShape, LIMITS } from "../limits.ts";
import type { SparseTensorProto, StringEntry, TensorProto } from "./proto.ts";
import type { Draft } from "./wire.ts";

/** TensorProto.DataType of each dtype. */
export const DATA_TYPE: Readonly<Record<DType, number>> = {
  f32: 1,
  u8: 2,
  i8: 3,
  u16: 4,
  i16: 5,
  i32: 6,
  i64: 7,
  bool: 9,
  f16: 10,
  f64: 11,
  u32: 12,
  u64: 13,
  bf16: 16,
};

const BY_DATA_TYPE = new Map(
  Object.entries(DATA_TYPE).map(([dtype, code]) => [code, dtype as DType]),
);

const OTHER_TYPES: Readonly<Record<number, string>> = {
  8: "string",
  14: "complex64",
  15: "complex128",
  17: "float8e4m3fn",
  18: "float8e4m3fnuz",
  19: "float8e5m2",
  20: "float8e5m2fnuz",
  21: "uint4",
  22: "int4",
  23: "float4e2m1",
  24: "float8e8m0",
  25: "uint2",
  26: "int2",
};

/** The dtype of a TensorProto.DataType. Throws E_UNSUPPORTED for types tersor has no tensors of. */
export function dtypeOf(dataType: number, where: string): DType {
  const dtype = BY_DATA_TYPE.get(dataType);
  if (dtype !== undefined) return dtype;
  const name = OTHER_TYPES[dataType] ?? `type ${dataType}`;
  throw new UserError("E_UNSUPPORTED", `elements of ${name} are not supported`, { where });
}

/** Gives the content of a file beside the model. */
export type ExternalData = (location: string) => Uint8Array;

const wrongSize = (p: TensorProto, want: number, got: number, where: string): UserError =>
  new UserError("E_FORMAT", `shape [${p.dims}] needs ${want} values, the file holds ${got}`, {
    where,
  });

/** The tensor of a message. Throws E_FORMAT, E_LIMIT or E_UNSUPPORTED. */
export function tensorOfProto(
  p: TensorProto,
  external: ExternalData | undefined,
  name = p.name,
): Tensor {
  const where = `tensor '${name}'`;
  checkShape(p.dims, where);
  const packed = PACKED[p.dataType];
  if (packed !== undefined) return unpackNibbles(p, packed, external, where);
  const type = tensorType(dtypeOf(p.dataType, where), p.dims);
  const n = elementCount(p.dims);
  const raw = p.dataLocation === 1 ? externalBytes(p, external, where) : p.rawData;
  if (raw !== undefined) {
    const { sizeBytes, view } = DTYPES[type.dtype];
    if (raw.length !== n * sizeBytes) throw wrongSize(p, n, raw.length / sizeBytes, where);
    const aligned = raw.byteOffset % sizeBytes === 0 ? raw : new Uint8Array(raw);
    return { type, data: view(aligned.buffer, aligned.byteOffset, n) };
  }
  const values = typedData(p, type.dtype);
  if ((values?.length ?? 0) !== n) throw wrongSize(p, n, values?.length ?? 0, where);
  const out = zeros(type);
  if (values === undefined) return out;
  if (values.constructor === out.data.constructor) return { type, data: values };
  for (let i = 0; i < n; i++) out.data[i] = convert(values[i]!, type.dtype);
  return out;
}

function convert(value: number | bigint, dtype: DType): number | bigint {
  return dtype === "i64" || dtype === "u64" ? BigInt(value) : Number(value);
}

/** The typed field that holds elements of this dtype; f16 and bf16 as their bits. */
function typedData(p: TensorProto, dtype: DType): TypedArray | undefined {
  switch (dtype) {
    case "f32":
      return p.floatData;
    case "f64":
      return p.doubleData;
    case "i64":
      return p.int64Data;
    case "u64":
    case "u32":
      return p.uint64Data;
    default:
      return p.int32Data;
  }
}

/** Types of two elements a byte, low half first, by data type: the dtype they are widened to. */
const PACKED: Readonly<Record<number, DType>> = { 21: "u8", 22: "i8" };

function unpackNibbles(
  p: TensorProto,
  dtype: DType,
  external: ExternalData | undefined,
  where: string,
): Tensor {
  const out = zeros(tensorType(dtype, p.dims));
  const n = out.data.length;
  const raw = p.dataLocation === 1 ? externalBytes(p, external, where) : p.rawData;
  const bytes = raw ?? Uint8Array.from(p.int32Data ?? []);
  if (bytes.length !== Math.ceil(n / 2)) throw wrongSize(p, n, bytes.length * 2, where);
  for (let i = 0; i < n; i++) {
    const nibble = (bytes[i >> 1]! >> (i % 2 === 0 ? 0 : 4)) & 15;
    out.data[i] = dtype === "i8" && nibble > 7 ? nibble - 16 : nibble;
  }
  return out;
}

function externalBytes(p: TensorProto, read: ExternalData | undefined, where: string): Uint8Array {
  const entry = (key: string): string | undefined =>
    p.externalData.find((e: StringEntry) => e.key === key)?.value;
  const location = entry("location");
  if (location === undefined || location === "") {
    throw new UserError("E_FORMAT", "external data without a location", { where });
  }
  if (read === undefined) {
    throw new UserError("E_FILE", `its data is in the file '${location}', which was not given`, {
      where,
      hint: "keep the model's data files beside it and open it by path",
    });
  }
  const file = read(location);
  checkLimit("bytes of an external file", file.length, LIMITS.externalBytes, where);
  const offset = wholeNumber(entry("offset") ?? "0", where);
  const length = wholeNumber(entry("length") ?? `${file.length - offset}`, where);
  if (offset + length > file.length) {
    throw new UserError(
      "E_FORMAT",
      `bytes ${offset}..${offset + length} of '${location}', which has ${file.length}`,
      { where },
    );
  }
  return file.subarray(offset, offset + length);
}

function wholeNumber(text: string, where: string): number {
  const n = Number(text);
  if (/^\d{1,15}$/.test(text) && Number.isSafeInteger(n)) return n;
  throw new UserError("E_FORMAT", `'${text}' is not an offset or length`, { where });
}

/** A sparse tensor spelled out. Indices are linear [n] or per axis [n, rank]. */
export function denseTensor(p: SparseTensorProto, external: ExternalData | undefined): Tensor {
  const name = p.values?.name ?? "";
  const where = `sparse tensor '${name}'`;
  if (p.values === undefined || p.indices === undefined) {
    throw new UserError("E_FORMAT", "values or indices are missing", { where });
  }
  checkShape(p.dims, where);
  checkLimit("elements of a sparse tensor", elementCount(p.dims), LIMITS.computedElements, where);
  const values = tensorOfProto(p.values, external);
  const indices = tensorOfProto(p.indices, external, name);
  const perIndex = indices.type.shape.length === 2 ? p.dims.length : 1;
  if (indices.data.length !== values.data.length * perIndex) {
    throw new UserError("E_FORMAT", "as many indices as values are needed", { where });
  }
  const out = zeros(tensorType(values.type.dtype, p.dims));
  for (let i = 0; i < values.data.length; i++) {
    let at = 0;
    for (let d = 0; d < perIndex; d++) {
      at = at * (perIndex === 1 ? 1 : p.dims[d]!) + Number(indices.data[i * perIndex + d]);
    }
    if (!(at >= 0 && at < out.data.length)) {
      throw new UserError("E_FORMAT", `index ${at} is outside [${p.dims}]`, { where });
    }
    out.data[at] = values.data[i]!;
  }
  return out;
}

/** The message of a tensor; quantisation parameters are not part of it. */
export function protoOfTensor(t: Tensor, name: string): Draft<TensorProto> {
  return { dims: [...t.type.shape], dataType: DATA_TYPE[t.type.dtype], name, rawData: bytesOf(t) };
}

/** Bytes of a number as Protocol Buffers write it. */
const varintBytes = (n: number): number => Math.max(1, Math.ceil((32 - Math.clz32(n)) / 7));

/** Share of a dense tensor that a sparse one must save: readers spend time on it. */
const LEAST_SAVED = 0.1;
/** Bytes of a sparse tensor beside values and indices. */
const SPARSE_HEAD = 24;

/**
 * The message of a tensor without its zeros, or null where that is not smaller. Indices are linear and written as
 * numbers of one to three bytes; as raw data they would take eight.
 */
export function sparseProtoOfTensor(t: Tensor, name: string): Draft<SparseTensorProto> | null {
  const { shape, dtype } = t.type;
  const { sizeBytes, view } = DTYPES[dtype];
  if (elementCount(shape) > LIMITS.computedElements) return null;
  const bytes = bytesOf(t);
  const places = filledCells(bytes, sizeBytes);
  const indexBytes = places.reduce((sum, i) => sum + varintBytes(i), 0);
  const size = places.length * sizeBytes + indexBytes + SPARSE_HEAD;
  if (places.length === 0 || size > (1 - LEAST_SAVED) * bytes.length) return null;
  const kept = takeCells(bytes, sizeBytes, places);
  const type = tensorType(dtype, [places.length]);
  const indices = BigInt64Array.from(places, BigInt);
  return {
    dims: [...shape],
    values: protoOfTensor({ type, data: view(kept.buffer, 0, places.length) }, name),
    indices: { dims: [places.length], dataType: DATA_TYPE.i64, int64Data: indices },
  };
}
