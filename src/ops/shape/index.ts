/** @file The operators that move elements. */
import type { Op } from "../../graph/op.ts";
import { concat } from "./concat.ts";
import { pad } from "./pad.ts";
import { reshape } from "./reshape.ts";
import { slice } from "./slice.ts";
import { split } from "./split.ts";
import { transpose } from "./transpose.ts";

export { concat, pad, reshape, slice, split, transpose };

export const shapeOps = {
  concat,
  pad,
  reshape,
  slice,
  split,
  transpose,
} satisfies Record<string, Op>;
