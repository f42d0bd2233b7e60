/**
 * @file Layouts a value is available in. A value is produced in one layout; conversions add others, each counted
 * once however many consumers want it. The cheapest way to a set of layouts may go over a further one.
 */
import type { Layout } from "../tensor/layout.ts";

/** One conversion of a value. */
export interface LayoutStep {
  readonly from: Layout;
  readonly to: Layout;
}

/** How a set of layouts is provided. */
export interface Provision {
  readonly cost: number;
  /** In an order in which each one's source exists. */
  readonly steps: readonly LayoutStep[];
}

/** A set of layouts as bits, by position in the list of layouts. */
export type LayoutSet = number;

export const setOf = (layouts: readonly Layout[], members: Iterable<Layout>): LayoutSet => {
  let set = 0;
  for (const l of members) set |= 1 << layouts.indexOf(l);
  return set;
};

export const contains = (layouts: readonly Layout[], set: LayoutSet, layout: Layout): boolean =>
  (set & (1 << layouts.indexOf(layout))) !== 0;

const NONE: Provision = { cost: Number.POSITIVE_INFINITY, steps: [] };

/**
 * The cheapest provision of every set that holds `produced`, by set; sets that do not hold it cost Infinity.
 * Of equal cost, the one of fewer conversions.
 */
export function provisions(
  layouts: readonly Layout[],
  produced: Layout,
  cost: (from: Layout, to: Layout) => number,
): readonly Provision[] {
  const start = setOf(layouts, [produced]);
  const found: Provision[] = Array.from({ length: 1 << layouts.length }, () => NONE);
  found[start] = { cost: 0, steps: [] };
  // A set is reached from smaller ones only, which have smaller numbers.
  for (let set = start + 1; set < found.length; set++) {
    if ((set & start) === 0) continue;
    layouts.forEach((to, i) => {
      const before = set & ~(1 << i);
      if (before === set || before === 0) return;
      for (const from of layouts) {
        if (!contains(layouts, before, from)) continue;
        const { cost: spent, steps } = found[before]!;
        const total = spent + cost(from, to);
        if (total < found[set]!.cost) found[set] = { cost: total, steps: [...steps, { from, to }] };
      }
    });
  }
  return found.map((_, set) => cheapestSuperset(found, set));
}

function cheapestSuperset(found: readonly Provision[], set: LayoutSet): Provision {
  let best = found[set]!;
  for (let other = set + 1; other < found.length; other++) {
    const there = found[other]!;
    if ((other & set) === set && there.cost < best.cost) best = there;
  }
  return best;
}
