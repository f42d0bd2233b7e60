/** @file The entry "tersor/train/node": what training takes from Node. */
export { type PrefetchOptions, prefetchedBatches } from "./prefetch.ts";
