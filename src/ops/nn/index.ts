/** @file The neural-network operators. */
import type { Op } from "../../graph/op.ts";
import { averagePool } from "./average-pool.ts";
import { conv } from "./conv.ts";
import { linear } from "./linear.ts";
import { matmul } from "./matmul.ts";
import { maxPool } from "./max-pool.ts";

export const nnOps = {
  conv,
  linear,
  matmul,
  max_pool: maxPool,
  average_pool: averagePool,
} satisfies Record<string, Op>;
