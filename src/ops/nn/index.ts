/** @file The neural-network operators. */
import type { Op } from "../../graph/op.ts";
import { conv } from "./conv.ts";
import { linear } from "./linear.ts";
import { matmul } from "./matmul.ts";

export const nnOps = {
  conv,
  linear,
  matmul,
} satisfies Record<string, Op>;
