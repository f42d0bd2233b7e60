/**
 * @file The two hashes of HashedNets (Chen et al., arXiv:1504.04788): which of K weights stands at a place of the
 * virtual matrix, and with which sign. Computed wherever they are needed, stored nowhere.
 */
import { and, binary, cast, i32, i64, type KernelBuilder, mul, xor } from "../../kernel/build.ts";
import type { Expr } from "../../kernel/ir.ts";

const SIGN = 0x9e3779b9;

/** MurmurHash3's finaliser (Austin Appleby, public domain): mixes 32 bits, one to one. */
export function mix32(x: number): number {
  let h = x | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** The place among `count` (below 2^31) weights of element i: the high half of hash times count. */
export function hashPlace(i: number, seed: number, count: number): number {
  const h = mix32(i ^ mix32(seed));
  // In two halves, so that no product exceeds 2^53.
  const low = (h & 0xffff) * count;
  return Math.floor(((h >>> 16) * count + low / 65536) / 65536);
}

export const hashSign = (i: number, seed: number): 1 | -1 =>
  (mix32(i ^ mix32(seed ^ SIGN)) & 1) === 0 ? 1 : -1;

function mixed(k: KernelBuilder, x: Expr): Expr {
  const step = (h: Expr, shift: number, factor: number): Expr =>
    k.let("h", mul(xor(h, binary("shr_u", h, shift)), factor | 0));
  const h = step(step(x, 16, 0x85ebca6b), 13, 0xc2b2ae35);
  return k.let("h", xor(h, binary("shr_u", h, 16)));
}

/** hashPlace in a kernel. */
export function emitPlace(k: KernelBuilder, i: Expr, seed: number, count: number): Expr {
  const h = mixed(k, xor(i, i32(mix32(seed) | 0)));
  const wide = mul(cast("i64", "extend_u", h), i64(BigInt(count)));
  return k.let("place", cast("i32", "wrap", binary("shr_u", wide, i64(32n))));
}

/** Whether hashSign is -1, in a kernel. */
export const emitNegative = (k: KernelBuilder, i: Expr, seed: number): Expr =>
  and(mixed(k, xor(i, i32(mix32(seed ^ SIGN) | 0))), 1);
