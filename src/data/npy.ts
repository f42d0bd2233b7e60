/** @file NumPy .npy arrays (format 1 to 3, C order) and .npz archives. Specification: numpy.lib.format. */
import { unzipSync } from "fflate";
import { DTYPES, type DType } from "../tensor/dtype.ts";
import { elementCount, type Tensor, tensorType } from "../tensor/tensor.ts";
import { UserError } from "../util/errors.ts";

const DESCRIPTORS: Readonly<Record<string, DType>> = {
  "<f4": "f32",
  "<f8": "f64",
  "<f2": "f16",
  "|i1": "i8",
  "|u1": "u8",
  "<i2": "i16",
  "<u2": "u16",
  "<i4": "i32",
  "<u4": "u32",
  "<i8": "i64",
  "<u8": "u64",
  "|b1": "bool",
};

/** The array of an .npy file. Throws UserError E_DATA naming `where`. */
export function parseNpy(bytes: Uint8Array, where: string): Tensor {
  const fail = (message: string): never => {
    throw new UserError("E_DATA", message, { where });
  };
  const magic = String.fromCharCode(...bytes.subarray(1, 6));
  if (bytes[0] !== 0x93 || magic !== "NUMPY" || bytes.length < 12) fail("not an .npy file");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const wide = bytes[6]! >= 2;
  const length = wide ? view.getUint32(8, true) : view.getUint16(8, true);
  const start = (wide ? 12 : 10) + length;
  if (start > bytes.length) fail("the header is cut off");
  const header = new TextDecoder().decode(bytes.subarray(wide ? 12 : 10, start));
  const descr = /'descr':\s*'([^']+)'/.exec(header)?.[1] ?? "";
  const dtype = DESCRIPTORS[descr];
  if (dtype === undefined) return fail(`element type '${descr}' is not supported`);
  if (/'fortran_order':\s*True/.test(header)) {
    fail("Fortran order is not supported; save with numpy.ascontiguousarray");
  }
  const text = /'shape':\s*\(([^)]*)\)/.exec(header)?.[1];
  if (text === undefined) return fail("the header has no shape");
  const shape = text
    .split(",")
    .filter((s) => s.trim() !== "")
    .map(Number);
  const count = elementCount(shape);
  const size = DTYPES[dtype].sizeBytes;
  if (!Number.isSafeInteger(count) || start + count * size > bytes.length) {
    fail(`shape (${shape}) needs ${count * size} bytes, the file holds ${bytes.length - start}`);
  }
  const copy = new Uint8Array(bytes.subarray(start, start + count * size));
  return { type: tensorType(dtype, shape), data: DTYPES[dtype].view(copy.buffer, 0, count) };
}

/** The arrays of an .npz archive by name, without the .npy ending. */
export function parseNpz(bytes: Uint8Array, where: string): ReadonlyMap<string, Tensor> {
  const limit = 4 * 1024 ** 3;
  let total = 0;
  try {
    const entries = unzipSync(bytes, {
      filter: (f) => {
        total += f.originalSize;
        if (total > limit) throw new Error("more than 4 GB when unpacked");
        return f.name.endsWith(".npy");
      },
    });
    return new Map(
      Object.entries(entries).map(([name, data]) => [
        name.slice(0, -4),
        parseNpy(data, `${where}:${name}`),
      ]),
    );
  } catch (error) {
    if (error instanceof UserError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new UserError("E_DATA", `not a readable .npz archive: ${reason}`, { where });
  }
}

/** The bytes of an .npy file (format 1.0) holding the tensor; bf16 is not representable. */
export function formatNpy(t: Tensor): Uint8Array {
  const descr = Object.entries(DESCRIPTORS).find(([, dtype]) => dtype === t.type.dtype)?.[0];
  if (descr === undefined) {
    throw new UserError("E_DTYPE", `${t.type.dtype} cannot be written as .npy`);
  }
  const { shape } = t.type;
  const tuple = shape.length === 1 ? `${shape[0]},` : shape.join(", ");
  const text = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${tuple}), }`;
  const padded = `${text.padEnd(Math.ceil((text.length + 11) / 64) * 64 - 11)}\n`;
  const data = new Uint8Array(t.data.buffer, t.data.byteOffset, t.data.byteLength);
  const out = new Uint8Array(10 + padded.length + data.length);
  out.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, padded.length & 255, padded.length >> 8]);
  out.set(new TextEncoder().encode(padded), 10);
  out.set(data, 10 + padded.length);
  return out;
}
