/** @file Reads the numbers of a FlexBuffers map: how custom operators keep their options. */
import { UserError } from "../../util/errors.ts";

const INT = 1;
const UINT = 2;
const FLOAT = 3;
const INDIRECT_INT = 6;
const INDIRECT_UINT = 7;
const INDIRECT_FLOAT = 8;
const MAP = 9;
const BOOL = 26;
const MAX_KEYS = 1024;

const damaged = (): UserError => new UserError("E_FORMAT", "damaged options of a custom operator");

/** Reads within bounds, little endian, at widths of 1, 2, 4 or 8 bytes. */
function reader(bytes: Uint8Array) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const check = (at: number, n: number): void => {
    if (!(at >= 0 && at + n <= bytes.length)) throw damaged();
  };
  const uint = (at: number, width: number): number => {
    check(at, width);
    if (width === 1) return view.getUint8(at);
    if (width === 2) return view.getUint16(at, true);
    return width === 4 ? view.getUint32(at, true) : Number(view.getBigUint64(at, true));
  };
  const int = (at: number, width: number): number =>
    width === 8 ? Number(BigInt.asIntN(64, BigInt(uint(at, 8)))) : signed(uint(at, width), width);
  const float = (at: number, width: number): number => {
    check(at, width);
    if (width === 4) return view.getFloat32(at, true);
    if (width === 8) return view.getFloat64(at, true);
    throw damaged();
  };
  const text = (at: number): string => {
    const end = bytes.indexOf(0, at);
    if (at < 0 || end < 0) throw damaged();
    return new TextDecoder().decode(bytes.subarray(at, end));
  };
  return { uint, int, float, text };
}

const signed = (n: number, width: number): number =>
  n >= 2 ** (8 * width - 1) ? n - 2 ** (8 * width) : n;

/** The numbers and booleans of the root map by key; entries of other types are left out. */
export function readFlexNumbers(bytes: Uint8Array): Readonly<Record<string, number>> {
  const { uint, int, float, text } = reader(bytes);
  const rootWidth = uint(bytes.length - 1, 1);
  const packed = uint(bytes.length - 2, 1);
  if (packed >> 2 !== MAP || ![1, 2, 4, 8].includes(rootWidth)) throw damaged();
  const rootAt = bytes.length - 2 - rootWidth;
  const width = 1 << (packed & 3);
  const map = rootAt - uint(rootAt, rootWidth);
  const count = uint(map - width, width);
  const keyWidth = uint(map - 2 * width, width);
  const keys = map - 3 * width - uint(map - 3 * width, width);
  if (count > MAX_KEYS || ![1, 2, 4, 8].includes(keyWidth)) throw damaged();
  const scalar = (at: number, type: number): number | null => {
    const kind = type >> 2;
    if (kind === INT) return int(at, width);
    if (kind === UINT || kind === BOOL) return uint(at, width);
    if (kind === FLOAT) return float(at, width);
    const to = at - uint(at, width);
    const own = 1 << (type & 3);
    if (kind === INDIRECT_INT) return int(to, own);
    if (kind === INDIRECT_UINT) return uint(to, own);
    return kind === INDIRECT_FLOAT ? float(to, own) : null;
  };
  const out: Record<string, number> = Object.create(null);
  for (let i = 0; i < count; i++) {
    const keyAt = keys + i * keyWidth;
    const value = scalar(map + i * width, uint(map + count * width + i, 1));
    if (value !== null) out[text(keyAt - uint(keyAt, keyWidth))] = value;
  }
  return out;
}
