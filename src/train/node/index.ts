/** @file The entry "tersor/train/node": what training takes from Node. */
export {
  type CheckpointFs,
  type FoundCheckpoint,
  loadCheckpoint,
  type SaveOptions,
  saveCheckpoint,
} from "./checkpoints.ts";
export { type PrefetchOptions, prefetchedBatches } from "./prefetch.ts";
