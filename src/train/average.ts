/** @file Averages of weights over the steps (Polyak averaging): often better than the last weights. */
import { Calc } from "../autodiff/calc.ts";
import type { GraphBuilder, Value } from "../graph/graph.ts";

/** The scalar that says how much of the old average a step keeps. */
export const KEEP = "average-keep";

/**
 * The share of the old average that a step, counted from 1, keeps: `keep` in the long run, less at the beginning, and
 * nothing in the first step, so that initial weights are forgotten.
 */
export const averageKeep =
  (keep: number) =>
  (step: number): number =>
    Math.min(keep, (step - 1) / (step + 8));

/** The average after a step. */
export function averaged(g: GraphBuilder, old: Value, fresh: Value, keep: Value): Value {
  const c = new Calc(g);
  return c.add(c.mul(c.sub(old, fresh), keep), fresh);
}
