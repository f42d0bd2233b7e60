/**
 * @file Masks that move: the smallest weights go and others come, the sparsity stays. By gradients: RigL (Evci et al.,
 * arXiv:1911.11134); by chance: SET (Mocanu et al., arXiv:1707.04780).
 */

import { makeRng } from "../../util/rng.ts";
import type { StateHook } from "../between.ts";
import { maskName, withMasks } from "../masks.ts";
import type { TrainingStep } from "../step.ts";
import { gradientName } from "./update.ts";
import { maskedWeights, stateOf } from "./weights.ts";

export interface RegrowOptions {
  /** Steps between changes; default 100. */
  readonly every?: number;
  /** No change from this step on; three quarters of all steps are usual. */
  readonly end: number;
  /** Share of a layer's weights that change at the start, falling along half a cosine to 0 at `end`; default 0.3. */
  readonly fraction?: number;
  /** What comes: where the gradient is largest (the step needs `maskUpdate` "gradients"), or anything. Default "gradient". */
  readonly grow?: "gradient" | "random";
  /** Of random growth; default 1. */
  readonly seed?: number;
}

/** The share of weights that change at a step. */
export const regrowFraction = (fraction: number, end: number, step: number): number =>
  step >= end ? 0 : (fraction / 2) * (1 + Math.cos((Math.PI * step) / end));

/** The first `count` of `from` by falling score, ties in order. */
const topOf = (from: readonly number[], score: (i: number) => number, count: number): number[] =>
  [...from].sort((a, b) => score(b) - score(a) || a - b).slice(0, count);

/**
 * The mask after a change of `count` weights: those of the smallest magnitude go, and of all that are not kept those of
 * the highest score come; a weight that goes may come at once, and keeps its value then.
 */
export function regrown(
  mask: ArrayLike<number>,
  w: ArrayLike<number>,
  score: (i: number) => number,
  count: number,
): Uint8Array {
  const all = Array.from({ length: mask.length }, (_, i) => i);
  const active = all.filter((i) => mask[i] !== 0);
  const next = new Uint8Array(mask.length);
  for (const i of topOf(active, (k) => Math.abs(w[k]!), active.length - count)) next[i] = 1;
  const out = all.filter((i) => next[i] === 0);
  for (const i of topOf(out, score, count)) next[i] = 1;
  return next;
}

/** A hook that changes masks of every layer; what comes starts at 0, with optimiser state at 0. */
export const regrowth =
  (
    training: Pick<TrainingStep, "model">,
    { every = 100, end, fraction = 0.3, grow = "gradient", seed = 1 }: RegrowOptions,
  ): StateHook =>
  ({ step, state }) => {
    if (step === 0 || step >= end || step % every !== 0) return null;
    const now = state();
    const share = regrowFraction(fraction, end, step);
    const masks = maskedWeights(training, now).map(({ name, tensor }, layer) => {
      const mask = now.get(maskName(name)) as Float32Array;
      const active = mask.reduce((n, x) => n + x, 0);
      // Seeds of one run differ by step and layer.
      const rng = makeRng((seed + 0x9e3779b1 * (step + 1) + 0x85ebca6b * (layer + 1)) >>> 0);
      const scores =
        grow === "random"
          ? Float64Array.from({ length: mask.length }, () => rng.next())
          : (stateOf(now, gradientName(name), "gradients") as Float32Array);
      const count = Math.floor(share * active);
      const next = regrown(mask, tensor.data as Float32Array, (i) => Math.abs(scores[i]!), count);
      return [name, next] as const;
    });
    return withMasks(now, new Map(masks));
  };
