/** @file What a loop asks of data: the batch of any step, which depends on the seed and the step alone. */
import type { ModelArray } from "../targets/wasm/model.ts";

export interface Batch {
  /** Arrays by the names of the step's inputs; they may be used again for later batches. */
  readonly feeds: Readonly<Record<string, ModelArray>>;
  /** The class of each row, without those that only fill up the last batch of an evaluation. */
  readonly labels: readonly number[];
}

/** Batches in an order that does not depend on how many workers make them. */
export interface BatchSource {
  /** Rows of every batch. */
  readonly rows: number;
  readonly batchesPerEpoch: number;
  /** The batch of a step, counted from 0 over all epochs. */
  batch(step: number): Promise<Batch>;
  /** Ends workers. */
  close(): Promise<void>;
}
