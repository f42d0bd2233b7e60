/** @file The budget of BlockSwap as written: blockswap=params=20%, blockswap=macs=3000000, blockswap=latency=0.6ms. */
import { shareOf } from "../../compress/factorise/index.ts";
import type { Graph } from "../../graph/graph.ts";
import { UserError } from "../../util/errors.ts";
import { withBatch } from "../with-batch.ts";
import { SWAP_COSTS, type SwapBudget } from "./block-swap.ts";

/** For messages. */
export const SWAP_FORMS = "blockswap=params=20%, blockswap=macs=30% or blockswap=latency=0.6ms";

/** Percents are of the teacher's; numbers are counts, or milliseconds. NaN: neither. */
function target(kind: SwapBudget["kind"], text: string, teacher: Graph): number {
  if (text.endsWith("%")) return shareOf(text) * SWAP_COSTS[kind](withBatch(teacher, 1));
  const [, number] = (kind === "latency" ? /^([\d.]+)ms$/ : /^(\d+)$/).exec(text) ?? [];
  return number === undefined ? Number.NaN : Number(number);
}

/** The budget for one row of a teacher; null: the text asks for another student. Throws UserError for a wrong budget. */
export function swapBudget(text: string, teacher: Graph): SwapBudget | null {
  const [, asked] = /^blockswap=(.*)$/.exec(text.replace(/\s+/g, "")) ?? [];
  if (asked === undefined) return null;
  const [, kind, amount = ""] = /^(params|macs|latency)=(.+)$/.exec(asked) ?? [];
  const found = { kind: kind as SwapBudget["kind"], target: Number.NaN };
  if (kind !== undefined) found.target = target(found.kind, amount, teacher);
  if (found.target > 0 && Number.isFinite(found.target)) return found;
  throw new UserError("E_ARGUMENT", `'${asked}' says no budget`, {
    hint: `write ${SWAP_FORMS}; percents are of the teacher's`,
  });
}
