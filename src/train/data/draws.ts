/** @file Seeded draws of the data: a generator for each purpose and place, and the beta distribution. */
import { makeRng, type Rng } from "../../util/rng.ts";

/** What a generator is for: different purposes give unrelated sequences. */
export const PURPOSES = { order: 1, augment: 2, mix: 3, view: 4 } as const;

/** Spreads a number over 32 bits (the finaliser of MurmurHash3). */
function spread(n: number): number {
  let h = n | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}

/** The generator of one purpose and place, such as (step, row). */
export function rngFor(seed: number, purpose: number, ...place: readonly number[]): Rng {
  const mixed = place.reduce(
    (h, n) => spread(Math.imul(h, 5) + n + 0x52dce729),
    spread(spread(seed) + purpose),
  );
  return makeRng(mixed);
}

/** Gamma(shape, 1) by Marsaglia and Tsang (ACM TOMS 26, 2000); a shape below 1 by way of shape + 1. */
function gamma(rng: Rng, shape: number): number {
  if (shape < 1) return gamma(rng, shape + 1) * (1 - rng.next()) ** (1 / shape);
  const d = shape - 1 / 3;
  const c = 1 / Math.sqrt(9 * d);
  for (;;) {
    const x = rng.normal();
    const v = (1 + c * x) ** 3;
    const u = 1 - rng.next();
    if (v > 0 && Math.log(u) < 0.5 * x * x + d - d * v + d * Math.log(v)) return d * v;
  }
}

/** Beta(a, b), in [0, 1]. */
export function beta(rng: Rng, a: number, b: number): number {
  const x = gamma(rng, a);
  const y = gamma(rng, b);
  // Both may be too small for a number; the distribution then has its mass at the ends.
  return x + y > 0 ? x / (x + y) : rng.int(2);
}
