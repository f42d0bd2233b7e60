/** @file The operators that move elements. */
import type { Op } from "../../graph/op.ts";
import { barrier } from "./barrier.ts";
import { concat } from "./concat.ts";
import { cumProd, cumSum } from "./cumulative.ts";
import { depthToSpace, spaceToDepth } from "./depth-space.ts";
import { expand } from "./expand.ts";
import { gather } from "./gather.ts";
import { gatherElements } from "./gather-elements.ts";
import { gatherNd } from "./gather-nd.ts";
import { oneHot } from "./one-hot.ts";
import { pad } from "./pad.ts";
import { relayout } from "./relayout.ts";
import { reshape } from "./reshape.ts";
import { reverseSequence } from "./reverse-sequence.ts";
import { scatterElements } from "./scatter-elements.ts";
import { scatterNd } from "./scatter-nd.ts";
import { slice } from "./slice.ts";
import { split } from "./split.ts";
import { tile } from "./tile.ts";
import { topK } from "./top-k.ts";
import { transpose } from "./transpose.ts";
import { trilu } from "./trilu.ts";

export {
  barrier,
  concat,
  cumProd,
  cumSum,
  depthToSpace,
  expand,
  gather,
  gatherElements,
  gatherNd,
  oneHot,
  pad,
  relayout,
  reshape,
  reverseSequence,
  scatterElements,
  scatterNd,
  slice,
  spaceToDepth,
  split,
  tile,
  topK,
  transpose,
  trilu,
};

export const shapeOps = {
  barrier,
  concat,
  cum_prod: cumProd,
  cum_sum: cumSum,
  depth_to_space: depthToSpace,
  expand,
  gather,
  gather_elements: gatherElements,
  gather_nd: gatherNd,
  one_hot: oneHot,
  pad,
  relayout,
  reshape,
  reverse_sequence: reverseSequence,
  scatter_elements: scatterElements,
  scatter_nd: scatterNd,
  slice,
  space_to_depth: spaceToDepth,
  split,
  tile,
  top_k: topK,
  transpose,
  trilu,
} satisfies Record<string, Op>;
