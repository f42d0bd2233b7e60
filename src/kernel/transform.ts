/** @file The steps every target runs on a kernel before it emits code. All keep its meaning exactly. */
import { sortSums } from "./affine.ts";
import { removeUnused, shareCommon } from "./cse.ts";
import { hoist } from "./hoist.ts";
import type { Kernel } from "./ir.ts";
import { simplify } from "./simplify.ts";
import { unrollLoops } from "./unroll.ts";

/** Unroll, simplify, sort index sums by loop, hoist, share, drop what is unused. */
export const TRANSFORMS: readonly {
  readonly name: string;
  readonly run: (kernel: Kernel) => Kernel;
}[] = [
  { name: "unroll", run: unrollLoops },
  { name: "simplify", run: simplify },
  { name: "sort-sums", run: sortSums },
  { name: "hoist", run: hoist },
  { name: "share", run: shareCommon },
  { name: "remove-unused", run: removeUnused },
];

/** The kernel ready for emission: no "unroll" loops, addresses and invariants computed once. Its forms stay. */
export const prepareKernel = (kernel: Kernel): Kernel =>
  TRANSFORMS.reduce((k, t) => t.run(k), kernel);
