/** @file A matrix kernel planned for a node, and the candidate it makes. */
import type { Candidate, Step, Work } from "../primitive.ts";
import { panelWidth, type Tile } from "./geometry.ts";

/** A matrix kernel that fits the node: its tile and work at once, the kernel calls when asked for. */
export interface GemmPlan {
  readonly tile: Tile;
  readonly work: Work;
  steps(): readonly Step[];
}

/** The candidate `<name>_<rows>x<channels>` of a plan; one row at a time is a law of its own: family "gemv". */
export const gemmCandidate = (name: string, family: string, plan: GemmPlan): Candidate => ({
  name: `${name}_${plan.tile.mr}x${panelWidth(plan.tile)}`,
  family: plan.tile.mr === 1 ? "gemv" : family,
  work: plan.work,
  implement: () => ({ inPlace: false, steps: plan.steps() }),
});
