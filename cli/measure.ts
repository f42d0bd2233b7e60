/** @file Fair timing of several engines: warmed up, in turn round by round, so that drift hits all alike. */
import { arch, cpus, platform, release } from "node:os";

export interface Timing {
  readonly p10Ms: number;
  readonly p50Ms: number;
  readonly p90Ms: number;
  readonly p95Ms: number;
  readonly runs: number;
}

/** Something that runs for a while and says how long each inference took. */
export interface Timed {
  /** Milliseconds of each inference; at least one, then more until `milliseconds` are over. */
  turn(milliseconds: number): Promise<readonly number[]>;
}

const ROUNDS = 10;

const quantile = (sorted: readonly number[], q: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN;

export function timingOf(times: readonly number[]): Timing {
  const sorted = [...times].sort((a, b) => a - b);
  const at = (q: number): number => quantile(sorted, q);
  return { p10Ms: at(0.1), p50Ms: at(0.5), p90Ms: at(0.9), p95Ms: at(0.95), runs: sorted.length };
}

/** Runs in this process. */
export async function timeFor(run: () => unknown, milliseconds: number): Promise<number[]> {
  const times: number[] = [];
  const end = performance.now() + milliseconds;
  do {
    const start = performance.now();
    const result = run();
    if (result instanceof Promise) await result;
    times.push(performance.now() - start);
  } while (performance.now() < end);
  return times;
}

/** Engines compile what runs often in the background; this is long enough for it. */
const WARM_UP_MS = 500;

/** Times each for `seconds`, warmed up. The order changes from round to round. */
export async function measure(all: readonly Timed[], seconds: number): Promise<Timing[]> {
  const slice = (1000 * seconds) / ROUNDS;
  for (const one of all) await one.turn(Math.max(2 * slice, Math.min(1000 * seconds, WARM_UP_MS)));
  const times = all.map((): number[] => []);
  for (let round = 0; round < ROUNDS; round++) {
    for (let k = 0; k < all.length; k++) {
      const i = (k + round) % all.length;
      times[i]!.push(...(await all[i]!.turn(slice)));
    }
  }
  return times.map(timingOf);
}

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly os: string;
  readonly node: string;
}

/** The machine measured on. */
export function machineInfo(): Machine {
  const all = cpus();
  return {
    cpu: all[0]?.model.trim() ?? arch(),
    cores: all.length,
    os: `${platform()} ${release()} ${arch()}`,
    node: process.version,
  };
}
