/** @file Which channels share a group: orders of outputs and inputs that keep most of the weights' energy. */

import { makeRng } from "../../util/rng.ts";
import { type Mat, matOf } from "../factorise/linear-algebra.ts";

/** Orders of channels; group j has the j-th equal part of both. */
export interface Grouping {
  readonly outputs: Int32Array;
  readonly inputs: Int32Array;
  /** The energy within the groups. */
  readonly kept: number;
}

const STARTS = 4;
const SEED = 1;

/**
 * Orders that keep much of `energy` [outputs, inputs] within `groups` equal groups, which must divide both. Outputs and
 * inputs are assigned in turn until no exchange of two gains: from the given order, from one by likeness, and from random
 * ones; the given order wins ties.
 */
export function bestGrouping(energy: Mat, groups: number): Grouping {
  const { rows, cols } = energy;
  const rng = makeRng(SEED);
  const range = (n: number): Int32Array => Int32Array.from({ length: n }, (_, i) => i);
  const given: Grouping = { outputs: range(rows), inputs: range(cols), kept: 0 };
  let best: Grouping = { ...given, kept: keptBy(energy, given.outputs, given.inputs, groups) };
  const across = transposedOf(energy);
  for (let start = 0; start < STARTS; start++) {
    let inputs =
      start === 0 ? given.inputs : start === 1 ? alike(energy, groups) : rng.permutation(cols);
    let last = Number.NEGATIVE_INFINITY;
    for (;;) {
      const outputs = assigned(energy, inputs, groups);
      inputs = assigned(across, outputs, groups);
      const kept = keptBy(energy, outputs, inputs, groups);
      if (kept > best.kept * (1 + 1e-12)) best = { outputs, inputs, kept };
      if (kept <= last * (1 + 1e-9)) break;
      last = kept;
    }
  }
  return best;
}

/** Columns in groups: the strongest that is left, and those most like it. */
function alike(e: Mat, groups: number): Int32Array {
  const size = e.cols / groups;
  const dot = (a: number, b: number): number => {
    let sum = 0;
    for (let r = 0; r < e.rows; r++) sum += e.data[r * e.cols + a]! * e.data[r * e.cols + b]!;
    return sum;
  };
  const norms = Array.from({ length: e.cols }, (_, c) => dot(c, c) || 1);
  const left = new Set([...norms.keys()].sort((a, b) => norms[b]! - norms[a]! || a - b));
  const order: number[] = [];
  while (left.size > 0) {
    const first = left.values().next().value!;
    left.delete(first);
    const near = (c: number): number => dot(first, c) / Math.sqrt(norms[c]!);
    const by = new Map([...left].map((c) => [c, near(c)]));
    const rest = [...left].sort((a, b) => by.get(b)! - by.get(a)! || a - b).slice(0, size - 1);
    order.push(first, ...rest);
    for (const c of rest) left.delete(c);
  }
  return Int32Array.from(order);
}

function transposedOf({ rows, cols, data }: Mat): Mat {
  const out = matOf(cols, rows);
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < cols; j++) out.data[j * rows + i] = data[i * cols + j]!;
  return out;
}

function keptBy(e: Mat, outputs: Int32Array, inputs: Int32Array, groups: number): number {
  const [rows, cols] = [e.rows / groups, e.cols / groups];
  let sum = 0;
  outputs.forEach((o, at) => {
    const first = Math.floor(at / rows) * cols;
    for (let i = first; i < first + cols; i++) sum += e.data[o * e.cols + inputs[i]!]!;
  });
  return sum;
}

/** The rows in the order of the groups that suit them, given those of the columns. */
function assigned(e: Mat, columns: Int32Array, groups: number): Int32Array {
  const [size, width] = [e.rows / groups, e.cols / groups];
  const score = matOf(e.rows, groups);
  for (let r = 0; r < e.rows; r++)
    for (let c = 0; c < e.cols; c++)
      score.data[r * groups + Math.floor(c / width)]! += e.data[r * e.cols + columns[c]!]!;
  const at = (row: number, group: number): number => score.data[row * groups + group]!;
  const groupOf = greedy(e.rows, groups, size, at);
  exchange(groupOf, at);
  const order = Int32Array.from({ length: e.rows }, (_, i) => i);
  return order.sort((a, b) => groupOf[a]! - groupOf[b]! || a - b);
}

/** Rows that would lose most come first, each to the best group with room. */
function greedy(
  rows: number,
  groups: number,
  size: number,
  at: (row: number, group: number) => number,
): Int32Array {
  const room = new Int32Array(groups).fill(size);
  const groupOf = new Int32Array(rows);
  const regret = Array.from({ length: rows }, (_, row) => {
    const sorted = Array.from({ length: groups }, (__, g) => at(row, g)).sort((a, b) => b - a);
    return sorted[0]! - (sorted[1] ?? 0);
  });
  const order = [...regret.keys()].sort((a, b) => regret[b]! - regret[a]! || a - b);
  for (const row of order) {
    let best = -1;
    for (let g = 0; g < groups; g++) {
      if (room[g]! > 0 && (best < 0 || at(row, g) > at(row, best))) best = g;
    }
    groupOf[row] = best;
    room[best]!--;
  }
  return groupOf;
}

/** Exchanges pairs while that gains. */
function exchange(groupOf: Int32Array, at: (row: number, group: number) => number): void {
  let total = 0;
  for (let r = 0; r < groupOf.length; r++) total += Math.abs(at(r, groupOf[r]!));
  for (let gained = true; gained; ) {
    gained = false;
    for (let a = 0; a < groupOf.length; a++) {
      for (let b = a + 1; b < groupOf.length; b++) {
        const [g, h] = [groupOf[a]!, groupOf[b]!];
        if (at(a, h) + at(b, g) <= at(a, g) + at(b, h) + 1e-12 * total) continue;
        [groupOf[a], groupOf[b]] = [h, g];
        gained = true;
      }
    }
  }
}
