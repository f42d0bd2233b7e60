/**
 * @file The two hashes of HashedNets (Chen et al., arXiv:1504.04788): which of K weights stands at a place of the
 * virtual matrix, and with which sign. Computed wherever they are needed, stored nowhere.
 */
import {
  and,
  binary,
  cast,
  i32,
  i64,
  type KernelBuilder,
  mul,
  shl,
  sub,
  xor,
} from "../../kernel/build.ts";
import type { Buffer, Expr } from "../../kernel/ir.ts";

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

/** What decides the hashes, as a kernel knows it. */
export interface HashTerms {
  /** Of the places and of the signs: i32. */
  readonly place: Expr;
  readonly sign: Expr;
  /** Number of weights: i64. */
  readonly count: Expr;
}

/** The seeds mixed, as i32: what is xored to i before it is mixed. */
export const mixedSeeds = (seed: number): { readonly place: number; readonly sign: number } => ({
  place: mix32(seed) | 0,
  sign: mix32(seed ^ SIGN) | 0,
});

/** Hashes of a seed and a count known when the kernel is built. */
export function fixedHash(seed: number, count: number): HashTerms {
  const { place, sign } = mixedSeeds(seed);
  return { place: i32(place), sign: i32(sign), count: i64(BigInt(count)) };
}

/** hashPlace in a kernel. */
export function emitPlace(k: KernelBuilder, i: Expr, { place, count }: HashTerms): Expr {
  const wide = mul(cast("i64", "extend_u", mixed(k, xor(i, place))), count);
  return k.let("place", cast("i32", "wrap", binary("shr_u", wide, i64(32n))));
}

/** The value with hashSign of element i, in a kernel: a product, since branches would be guessed wrongly. */
export function emitSigned(k: KernelBuilder, value: Expr, i: Expr, { sign }: HashTerms): Expr {
  const negative = and(mixed(k, xor(i, sign)), 1);
  return mul(value, cast(value.type, "convert_s", sub(1, shl(negative, 1))));
}

/** Element i of the virtual tensor: the weight at its place with its sign. */
export function emitVirtual(k: KernelBuilder, weights: Buffer, i: Expr, hash: HashTerms): Expr {
  return emitSigned(k, k.load(weights, emitPlace(k, i, hash)), i, hash);
}
