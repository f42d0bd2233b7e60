/** @file How ranks are chosen: by number, as a share, by a target of parameters or operations, by error, by EVBMF. */
import { UserError } from "../../util/errors.ts";
import { denseMacs, type Layer, weightCount } from "./layer.ts";
import { squaredNorm } from "./linear-algebra.ts";
import type { Cost, Factors, Method } from "./method.ts";

export type RankRule =
  /** Given ranks, cut to the largest there are. */
  | { readonly kind: "fixed"; readonly ranks: readonly number[] }
  /** A share of the largest ranks, above 0 and at most 1. */
  | { readonly kind: "share"; readonly share: number }
  /** The largest ranks whose parameters, or multiply-accumulates, are at most this share of the layer's. */
  | { readonly kind: "params" | "macs"; readonly share: number }
  /** The smallest ranks, of one share of the largest, whose relative error of the weights is at most this. */
  | { readonly kind: "error"; readonly most: number }
  /** Ranks that stand out from noise; `keep`: the share of the ranks beyond them that is kept, default 0. */
  | { readonly kind: "evbmf"; readonly keep?: number };

const STEPS = 1000;

const atShare = (full: readonly number[], share: number): number[] =>
  full.map((n) => Math.min(n, Math.max(1, Math.round(n * share))));

/** The largest number of 1..STEPS that fits; 1 when none does. */
function largest(fits: (step: number) => boolean): number {
  let [low, high] = [1, STEPS];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (fits(middle)) low = middle;
    else high = middle - 1;
  }
  return low;
}

function checkShare(name: string, value: number, most = 1): void {
  if (value > 0 && value <= most) return;
  throw new UserError("E_ARGUMENT", `${name} is above 0 and at most ${most}, got ${value}`);
}

/** Norm of the difference over the norm of the weights. */
export function relativeError(layer: Layer, { dense }: Factors): number {
  const { data } = layer.kernel;
  const norm = squaredNorm(data);
  return norm === 0 ? 0 : Math.sqrt(squaredNorm(dense.map((x, i) => x - data[i]!)) / norm);
}

export const denseCost = (layer: Layer): Cost => ({
  params: weightCount(layer.kernel),
  macs: denseMacs(layer),
});

function fixed(method: Method, full: readonly number[], ranks: readonly number[]): number[] {
  const whole = ranks.every((r) => Number.isInteger(r) && r >= 1);
  if (!whole || ranks.length !== full.length) {
    const got = ranks.join(", ");
    throw new UserError("E_ARGUMENT", `${method.name} takes ${full.length} ranks, got [${got}]`, {
      hint: "give integers of at least 1",
    });
  }
  return ranks.map((r, i) => Math.min(r, full[i]!));
}

function evident(method: Method, layer: Layer, full: readonly number[], keep: number): number[] {
  if (method.evident === undefined) {
    throw new UserError("E_ARGUMENT", `${method.name} has no ranks by EVBMF`, {
      hint: "choose them by a share, an error, or a target of parameters or operations",
    });
  }
  const found = method.evident(layer);
  return full.map((n, i) => {
    const r = Math.min(n, Math.max(1, found[i]!));
    return r + Math.round(keep * (n - r));
  });
}

/** Ranks of one layer. Throws UserError when the rule does not fit the method. */
export function ranksFor(method: Method, layer: Layer, rule: RankRule): readonly number[] {
  const full = method.full(layer);
  switch (rule.kind) {
    case "fixed":
      return fixed(method, full, rule.ranks);
    case "share":
      checkShare("a share of ranks", rule.share);
      return atShare(full, rule.share);
    case "params":
    case "macs": {
      checkShare(`a target of ${rule.kind}`, rule.share);
      const most = rule.share * denseCost(layer)[rule.kind];
      const fits = (step: number): boolean =>
        method.cost(layer, atShare(full, step / STEPS))[rule.kind] <= most;
      return atShare(full, largest(fits) / STEPS);
    }
    case "error": {
      checkShare("a relative error", rule.most);
      const misses = (step: number): boolean => {
        const ranks = atShare(full, step / STEPS);
        return relativeError(layer, method.factor(layer, ranks)) > rule.most;
      };
      // The largest share that is too small, and one step more.
      return misses(1) ? atShare(full, (largest(misses) + 1) / STEPS) : atShare(full, 1 / STEPS);
    }
    case "evbmf":
      return evident(method, layer, full, rule.keep ?? 0);
  }
}
