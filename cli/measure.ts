/** @file Fair timing of several engines: warmed up, in turn round by round, so that drift hits all alike. */
import { arch, cpus, platform, release } from "node:os";
import type { Loaded } from "./bench-engines.ts";

export interface Timing {
  readonly p50Ms: number;
  readonly p95Ms: number;
  readonly runs: number;
}

const ROUNDS = 10;

const quantile = (sorted: readonly number[], q: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN;

async function timeFor(model: Loaded, milliseconds: number, times: number[]): Promise<void> {
  const end = performance.now() + milliseconds;
  do {
    const start = performance.now();
    const result = model.run();
    if (result instanceof Promise) await result;
    times.push(performance.now() - start);
  } while (performance.now() < end);
}

/** Times each model for `seconds`. */
export async function measure(models: readonly Loaded[], seconds: number): Promise<Timing[]> {
  const slice = (1000 * seconds) / ROUNDS;
  for (const model of models) await timeFor(model, Math.min(2 * slice, 500), []);
  const times = models.map((): number[] => []);
  for (let round = 0; round < ROUNDS; round++) {
    for (const [i, model] of models.entries()) await timeFor(model, slice, times[i]!);
  }
  return times.map((all) => {
    const sorted = all.sort((a, b) => a - b);
    return { p50Ms: quantile(sorted, 0.5), p95Ms: quantile(sorted, 0.95), runs: sorted.length };
  });
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
