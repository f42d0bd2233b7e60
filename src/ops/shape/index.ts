/** @file The operators that move elements. */
import type { Op } from "../../graph/op.ts";
import { concat } from "./concat.ts";
import { depthToSpace, spaceToDepth } from "./depth-space.ts";
import { expand } from "./expand.ts";
import { gather } from "./gather.ts";
import { gatherElements } from "./gather-elements.ts";
import { gatherNd } from "./gather-nd.ts";
import { pad } from "./pad.ts";
import { reshape } from "./reshape.ts";
import { slice } from "./slice.ts";
import { split } from "./split.ts";
import { tile } from "./tile.ts";
import { transpose } from "./transpose.ts";

export {
  concat,
  depthToSpace,
  expand,
  gather,
  gatherElements,
  gatherNd,
  pad,
  reshape,
  slice,
  spaceToDepth,
  split,
  tile,
  transpose,
};

export const shapeOps = {
  concat,
  depth_to_space: depthToSpace,
  expand,
  gather,
  gather_elements: gatherElements,
  gather_nd: gatherNd,
  pad,
  reshape,
  slice,
  space_to_depth: spaceToDepth,
  split,
  tile,
  transpose,
} satisfies Record<string, Op>;
