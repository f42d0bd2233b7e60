/** @file What a loop lets happen between two steps: another state in the place of the one the step left. */
import type { TypedArray } from "../tensor/dtype.ts";
import type { Batch } from "./batches.ts";

/** The place between two steps. */
export interface Between {
  /** Steps done; 0 before the first. */
  readonly step: number;
  /** The batch of the last step; null before the first. */
  readonly batch: Batch | null;
  /** All that lasts, as `Trainer.state`; copies. */
  state(): ReadonlyMap<string, TypedArray>;
}

/** The state that training goes on with; null: the one there is. */
export type NextState = ReadonlyMap<string, TypedArray> | null;

/**
 * Called once before the first step and after every step, before the evaluation and the checkpoint of that step. Must
 * follow from its argument alone and keep nothing: a run that goes on from a checkpoint comes to the same bits then.
 */
export type StateHook = (at: Between) => NextState | Promise<NextState>;

/** Hooks one after another, each on the state of those before. */
export const hooksInTurn =
  (...hooks: readonly StateHook[]): StateHook =>
  async (at) => {
    let changed: NextState = null;
    for (const hook of hooks) {
      const before: NextState = changed;
      changed = (await hook(before === null ? at : { ...at, state: () => before })) ?? before;
    }
    return changed;
  };
