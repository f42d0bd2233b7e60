/** @file IDX arrays, the format of MNIST (big-endian, type and rank in the fourth and third byte). */
import { gunzipSync } from "fflate";
import { DTYPES, type DType } from "../tensor/dtype.ts";
import { elementCount, type Tensor, tensorType, zeros } from "../tensor/tensor.ts";
import { UserError } from "../util/errors.ts";

const TYPES: Readonly<Record<number, DType>> = {
  8: "u8",
  9: "i8",
  11: "i16",
  12: "i32",
  13: "f32",
  14: "f64",
};

/** The array of an IDX file, gzip-compressed or not. Throws UserError E_DATA naming `where`. */
export function parseIdx(file: Uint8Array, where: string): Tensor {
  const bytes = file[0] === 0x1f && file[1] === 0x8b ? unpacked(file, where) : file;
  const dtype = TYPES[bytes[2] ?? 0];
  const rank = bytes[3] ?? 0;
  if (bytes[0] !== 0 || bytes[1] !== 0 || dtype === undefined || rank === 0 || rank > 8) {
    throw new UserError("E_DATA", "not an IDX file", { where });
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const start = 4 + 4 * rank;
  if (bytes.length < start) throw new UserError("E_DATA", "the header is cut off", { where });
  const shape = Array.from({ length: rank }, (_, i) => view.getUint32(4 + 4 * i));
  const { sizeBytes } = DTYPES[dtype];
  if (start + elementCount(shape) * sizeBytes > bytes.length) {
    throw new UserError("E_DATA", `shape [${shape}] needs more bytes than the file has`, { where });
  }
  const t = zeros(tensorType(dtype, shape));
  const out = new Uint8Array(t.data.buffer);
  for (let i = 0; i < out.length; i += sizeBytes) {
    for (let b = 0; b < sizeBytes; b++) out[i + b] = bytes[start + i + sizeBytes - 1 - b]!;
  }
  return t;
}

function unpacked(file: Uint8Array, where: string): Uint8Array {
  try {
    return gunzipSync(file);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new UserError("E_DATA", `the gzip file is damaged: ${reason}`, { where });
  }
}
