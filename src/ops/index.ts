/** @file Every operator by name: the table that importers, passes and the text form read. */
import type { Op } from "../graph/op.ts";
import { elementwiseOps } from "./elementwise/index.ts";
import { nnOps } from "./nn/index.ts";
import { quantOps } from "./quant/index.ts";
import { reduceOps } from "./reduce/index.ts";
import { shapeOps } from "./shape/index.ts";

export const ops: Readonly<Record<string, Op>> = {
  ...elementwiseOps,
  ...nnOps,
  ...quantOps,
  ...reduceOps,
  ...shapeOps,
};
