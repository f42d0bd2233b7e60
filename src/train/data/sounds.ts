/** @file One sound of a batch: cut or padded to a length, shifted in time, louder or softer, with noise. */
import type { Rng } from "../../util/rng.ts";
import type { WriteRow } from "./pictures.ts";
import { type SoundSet, soundOf } from "./sets.ts";

export interface SoundOptions {
  /** Samples of every row: longer sounds are cut at the end, shorter ones followed by zeros. */
  readonly length: number;
  /** Shifts each way by up to this many samples; default 0. */
  readonly timeShift?: number;
  /** Amplifies by up to this many decibels, or as many less; default 0. */
  readonly gain?: number;
  /** White noise whose standard deviation is drawn between 0 and this; default 0. */
  readonly noise?: number;
}

/** How sounds of the set come into a batch [batch, length]. */
export function soundWriter(set: SoundSet, options: SoundOptions): WriteRow {
  const { length, timeShift = 0, gain = 0, noise = 0 } = options;
  return (row, to, rng) => {
    const sound = soundOf(set, row);
    const shift = timeShift === 0 || rng === null ? 0 : rng.int(2 * timeShift + 1) - timeShift;
    const from = Math.max(0, -shift);
    const at = Math.min(length, Math.max(0, shift));
    to.fill(0);
    to.set(sound.subarray(from, Math.max(from, Math.min(sound.length, from + length - at))), at);
    if (rng !== null && gain !== 0) {
      const factor = 10 ** ((gain * (2 * rng.next() - 1)) / 20);
      for (let i = 0; i < length; i++) to[i]! *= factor;
    }
    if (rng !== null && noise !== 0) addNoise(to, noise * rng.next(), rng);
  };
}

function addNoise(to: Float32Array, deviation: number, rng: Rng): void {
  for (let i = 0; i < to.length; i++) to[i]! += deviation * rng.normal();
}
