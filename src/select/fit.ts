/**
 * @file Fits the cost model's coefficients to measurements: non-negative least squares of relative errors, first
 * for all candidates together, then for ever narrower groups. A narrow group leans on the wider one where it has
 * few measurements.
 */
import { type Coefficients, type CoefficientTable, groupsOf } from "./costs.ts";
import type { ProfileEntry } from "./profile.ts";

/** Work and its time. */
type Row = Pick<ProfileEntry, "macs" | "bytes" | "ns">;

/** One equation for the coefficients: the sum of `of` times them should be 1. */
interface Equation {
  readonly of: readonly number[];
  readonly weight: number;
}

/** The table of coefficients that src/select/coefficients.ts holds for one target. */
export function fitCoefficients(entries: readonly ProfileEntry[]): CoefficientTable {
  const table: Record<string, Coefficients> = {};
  const groups = new Map<string, ProfileEntry[]>();
  for (const entry of entries) {
    for (const name of groupsOf(entry.group)) {
      groups.set(name, [...(groups.get(name) ?? []), entry]);
    }
  }
  const names = [...groups.keys()].sort((a, b) => depth(a) - depth(b) || (a < b ? -1 : 1));
  for (const name of names) {
    const parent = groupsOf(name).find((other) => other !== name && table[other] !== undefined);
    const rows = groups.get(name)!;
    const prior = parent === undefined ? [] : priorOf(rows, table[parent]!);
    table[name] = solve([...rows.map(equationOf), ...prior]);
  }
  return table;
}

const depth = (name: string): number =>
  name === "*" ? 0 : name.split("/").filter((part) => part !== "*").length;

const predict = ([macs, bytes, call]: Coefficients, r: Row): number =>
  macs * r.macs + bytes * r.bytes + call;

/** Predicted over measured time is to be 1. */
const equationOf = (r: Row): Equation => ({
  of: [r.macs / r.ns, r.bytes / r.ns, 1 / r.ns],
  weight: 1,
});

/** How much each coefficient of the wider group counts, in measurements. */
const PRIOR_WEIGHT = 0.3;

/**
 * Every coefficient is to be that of the wider group, brought to the level of this one's times; where nothing
 * multiplies and accumulates, that has no cost.
 */
function priorOf(rows: readonly Row[], parent: Coefficients): Equation[] {
  const logs = rows.map((r) => Math.log(r.ns / Math.max(1e-9, predict(parent, r))));
  const level = Math.exp(logs.reduce((a, b) => a + b, 0) / logs.length);
  const idle = rows.every((r) => r.macs === 0);
  return parent.flatMap((c, i) =>
    c === 0 || (i === 0 && idle)
      ? []
      : [{ of: [0, 1, 2].map((k) => (k === i ? 1 / (level * c) : 0)), weight: PRIOR_WEIGHT }],
  );
}

/** Weighted least squares with coefficients of at least 0: tries every set of those above 0. */
function solve(equations: readonly Equation[]): Coefficients {
  let best: Coefficients = [0, 0, 0];
  let least = Number.POSITIVE_INFINITY;
  for (let set = 1; set < 8; set++) {
    const active = [0, 1, 2].filter((i) => (set & (1 << i)) !== 0);
    const solved = solveActive(equations, active);
    if (solved === null || solved.some((c) => c < 0)) continue;
    const left = (e: Equation): number => 1 - e.of.reduce((sum, x, i) => sum + x * solved[i]!, 0);
    const error = equations.reduce((sum, e) => sum + e.weight * left(e) ** 2, 0);
    if (error >= least * (1 - 1e-9)) continue;
    least = error;
    best = solved;
  }
  const [macs, bytes, call] = best.map((c) => Number(c.toPrecision(4)));
  return [macs!, bytes!, call!];
}

/** Least squares of the active coefficients by Gaussian elimination; null when they are not determined. */
function solveActive(
  equations: readonly Equation[],
  active: readonly number[],
): Coefficients | null {
  const n = active.length;
  const a = active.map(() => new Array<number>(n + 1).fill(0));
  for (const { of, weight } of equations) {
    active.forEach((p, i) => {
      active.forEach((q, j) => {
        a[i]![j]! += weight * of[p]! * of[q]!;
      });
      a[i]![n]! += weight * of[p]!;
    });
  }
  // Columns differ by orders of magnitude: brought to one scale before pivots are judged.
  const scale = a.map((line, i) => Math.sqrt(line[i]!));
  if (scale.some((s) => s === 0)) return null;
  a.forEach((line, i) => {
    for (let j = 0; j < n; j++) line[j]! /= scale[i]! * scale[j]!;
    line[n]! /= scale[i]!;
  });
  if (!eliminateColumns(a)) return null;
  const out: [number, number, number] = [0, 0, 0];
  active.forEach((p, i) => {
    out[p] = a[i]![n]! / scale[i]!;
  });
  return out;
}

/** Brings a symmetric positive system to diagonal form with ones; false when it is singular. */
function eliminateColumns(a: number[][]): boolean {
  const n = a.length;
  for (let p = 0; p < n; p++) {
    const pivot = a[p]![p]!;
    if (Math.abs(pivot) < 1e-10) return false;
    for (let j = p; j <= n; j++) a[p]![j]! /= pivot;
    for (let i = 0; i < n; i++) {
      if (i === p) continue;
      const factor = a[i]![p]!;
      for (let j = p; j <= n; j++) a[i]![j]! -= factor * a[p]![j]!;
    }
  }
  return true;
}
