/** @file Whose results are right: every engine against one reference, before any of them is timed. */

/** Largest difference over the largest magnitude of the reference; infinite where shapes differ. */
export function differenceOf(
  got: readonly ArrayLike<number>[],
  want: readonly ArrayLike<number>[],
): number {
  if (got.length !== want.length) return Number.POSITIVE_INFINITY;
  let [worst, size] = [0, 0];
  for (const [o, expected] of want.entries()) {
    const actual = got[o]!;
    if (actual.length !== expected.length) return Number.POSITIVE_INFINITY;
    for (let i = 0; i < expected.length; i++) {
      size = Math.max(size, Math.abs(expected[i]!));
      const d = Math.abs(actual[i]! - expected[i]!);
      worst = Number.isNaN(d) ? Number.POSITIVE_INFINITY : Math.max(worst, d);
    }
  }
  return size === 0 ? worst : worst / size;
}

/**
 * Beyond this a result is wrong. f32: sums in another order, and Winograd's transforms. int8: each engine
 * rounds at other places, and a step of one layer moves the next.
 */
export const TOLERANCE = { f32: 1e-3, int8: 0.25 } as const;
