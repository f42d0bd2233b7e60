/**
 * @file Fits the cost model's coefficients to measurements: non-negative least squares of relative errors, first
 * for all candidates together, then for ever narrower groups. A narrow group leans on the wider one where it has
 * few measurements.
 */
import { type Coefficients, type CoefficientTable, groupsOf } from "./costs.ts";
import type { ProfileEntry } from "./profile.ts";

/** Work and its time. */
interface Row {
  readonly macs: number;
  readonly bytes: number;
  readonly ns: number;
  readonly weight: number;
}

const features = (r: Row): readonly number[] => [r.macs / r.ns, r.bytes / r.ns, 1 / r.ns];

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
    const rows = groups.get(name)!.map((e) => ({ ...e, weight: 1 }));
    const prior = parent === undefined ? [] : priorRows(rows, table[parent]!);
    table[name] = fitRows([...rows, ...prior]);
  }
  return table;
}

const depth = (name: string): number =>
  name === "*" ? 0 : name.split("/").filter((part) => part !== "*").length;

/** Sizes at which the wider group's law is believed, relative to what was measured, and how much. */
const PRIOR_SIZES = [1 / 16, 16];
const PRIOR_WEIGHT = 0.05;

/** What the wider group's law, brought to this group's level, says of smaller and larger work. */
function priorRows(rows: readonly Row[], parent: Coefficients): Row[] {
  const level = Math.exp(
    rows.reduce((sum, r) => sum + Math.log(r.ns / Math.max(1e-9, predict(parent, r))), 0) /
      rows.length,
  );
  return rows.flatMap((r) =>
    PRIOR_SIZES.map((size) => {
      const row = { ...r, macs: r.macs * size, bytes: r.bytes * size, weight: PRIOR_WEIGHT };
      return { ...row, ns: Math.max(1, level * predict(parent, row)) };
    }),
  );
}

const predict = ([macs, bytes, call]: Coefficients, r: Pick<Row, "macs" | "bytes">): number =>
  macs * r.macs + bytes * r.bytes + call;

/** Least weighted sum of squared relative errors with coefficients of at least 0: tries every active set. */
function fitRows(rows: readonly Row[]): Coefficients {
  let best: Coefficients = [0, 0, 0];
  let least = Number.POSITIVE_INFINITY;
  for (let set = 1; set < 8; set++) {
    const active = [0, 1, 2].filter((i) => (set & (1 << i)) !== 0);
    const solved = solveActive(rows, active);
    if (solved === null || solved.some((c) => c < 0)) continue;
    const error = rows.reduce((s, r) => s + r.weight * (1 - predict(solved, r) / r.ns) ** 2, 0);
    if (error >= least * (1 - 1e-9)) continue;
    least = error;
    best = solved;
  }
  const [macs, bytes, call] = best.map((c) => Number(c.toPrecision(4)));
  return [macs!, bytes!, call!];
}

/** Least squares of the active coefficients by Gaussian elimination; null when they are not determined. */
function solveActive(rows: readonly Row[], active: readonly number[]): Coefficients | null {
  const n = active.length;
  const a = active.map(() => new Array<number>(n + 1).fill(0));
  for (const row of rows) {
    const f = features(row);
    active.forEach((p, i) => {
      active.forEach((q, j) => {
        a[i]![j]! += row.weight * f[p]! * f[q]!;
      });
      a[i]![n]! += row.weight * f[p]!;
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
