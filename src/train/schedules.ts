/** @file Learning rates as functions of the step, counted from 0. */

export type Schedule = (step: number) => number;

export const constantRate =
  (rate: number): Schedule =>
  () =>
    rate;

/** `rate` times `factor` for each milestone that has passed. */
export const stepRate =
  (rate: number, milestones: readonly number[], factor: number): Schedule =>
  (step) =>
    rate * factor ** milestones.filter((m) => step >= m).length;

/** From `rate` to `last` along half a cosine (SGDR, arXiv:1608.03983). */
export const cosineRate =
  (rate: number, steps: number, last = 0): Schedule =>
  (step) =>
    last + ((rate - last) * (1 + Math.cos((Math.PI * Math.min(step, steps)) / steps))) / 2;

/** Rises in a line over the first steps, then follows `schedule` from its beginning. */
export const warmUp =
  (steps: number, schedule: Schedule): Schedule =>
  (step) =>
    step < steps ? (schedule(0) * (step + 1)) / steps : schedule(step - steps);

/** Up to `rate` and down to nothing along cosines (super-convergence, arXiv:1708.07120). */
export function oneCycle(rate: number, steps: number, rising = 0.3, first = rate / 25): Schedule {
  const top = Math.max(1, Math.floor(steps * rising));
  const up = cosineRate(first, top, rate);
  const down = cosineRate(rate, Math.max(1, steps - top));
  return (step) => (step < top ? up(step) : down(step - top));
}

/** One schedule after another, each from its own beginning for so many steps; the last goes on. */
export const inTurn =
  (...parts: readonly (readonly [steps: number, schedule: Schedule])[]): Schedule =>
  (step) => {
    let at = step;
    for (const [steps, schedule] of parts.slice(0, -1)) {
      if (at < steps) return schedule(at);
      at -= steps;
    }
    return parts.at(-1)?.[1](at) ?? 0;
  };
