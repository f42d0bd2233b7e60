/** @file Small integer and rounding arithmetic shared by every layer. */

export const ceilDiv = (a: number, b: number): number => Math.ceil(a / b);

export const alignUp = (n: number, alignment: number): number => ceilDiv(n, alignment) * alignment;

/** Product of the numbers, 1 when there are none. */
export const product = (xs: readonly number[]): number => xs.reduce((a, b) => a * b, 1);

export const clamp = (x: number, lo: number, hi: number): number => Math.min(Math.max(x, lo), hi);

/** The middle value, the upper one of two; NaN of none. */
export const median = (xs: readonly number[]): number =>
  [...xs].sort((a, b) => a - b)[xs.length >> 1] ?? Number.NaN;

/** Round to nearest, ties to even: the one rounding of quantisation (docs/ir.md). Exact below 2^52. */
export function roundHalfEven(x: number): number {
  const floor = Math.floor(x);
  const diff = x - floor;
  if (diff < 0.5) return floor;
  if (diff > 0.5) return floor + 1;
  return floor % 2 === 0 ? floor : floor + 1;
}

/** 64-bit FNV-1a of the bytes, as 16 hexadecimal digits: names constants, never guards anything. */
export function hashBytes(bytes: Uint8Array): string {
  let lo = 0x84222325;
  let hi = 0xcbf29ce4;
  for (let i = 0; i < bytes.length; i++) {
    lo = (lo ^ bytes[i]!) >>> 0;
    const loProduct = lo * 0x1b3;
    const carry = Math.floor(loProduct / 4294967296);
    hi = (Math.imul(hi, 0x1b3) + Math.imul(lo, 0x100) + carry) >>> 0;
    lo = loProduct >>> 0;
  }
  return hi.toString(16).padStart(8, "0") + lo.toString(16).padStart(8, "0");
}

/** Index of the largest element; the first of equals. */
export function argMax(xs: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < xs.length; i++) if (xs[i]! > xs[best]!) best = i;
  return best;
}
