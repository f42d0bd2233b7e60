/**
 * @file The process of one engine: loads models and times them in turns, as its parent says. Every engine has
 * a process of its own, so that flags, thread pools and the state of the JIT of one touch no other.
 */
import type { Loaded } from "../cli/bench-engines.ts";
import { timeFor } from "../cli/measure.ts";
import { readHandover } from "./handover.ts";
import { RUNS } from "./runs.ts";

export type Order =
  | { readonly kind: "load"; readonly path: string }
  | { readonly kind: "turn"; readonly milliseconds: number }
  | { readonly kind: "close" };

export interface LoadedAnswer {
  readonly detail: string;
  readonly peakBytes: number | null;
  /** From the model in memory to the first result. */
  readonly loadMs: number;
  /** The numbers of each output. */
  readonly outputs: readonly Float64Array[];
}

const run = RUNS.find(({ id }) => id === process.argv[2])!;
let loaded: Loaded | null = null;

async function load(path: string): Promise<LoadedAnswer> {
  const model = readHandover(path);
  const start = performance.now();
  loaded = await run.engine!.load({ ...model, threads: run.threads });
  const results = await loaded.run();
  const loadMs = performance.now() - start;
  const outputs = results.map((data) => Float64Array.from(data as ArrayLike<number>, Number));
  const { detail, peakBytes } = loaded;
  return { detail, peakBytes, loadMs, outputs };
}

async function obey(order: Order): Promise<unknown> {
  if (order.kind === "load") return load(order.path);
  if (order.kind === "turn") return timeFor(loaded!.run, order.milliseconds);
  await loaded?.close();
  loaded = null;
  return null;
}

process.on("message", (order: Order) => {
  obey(order).then(
    (answer) => process.send!({ answer }),
    (error) => process.send!({ error: error instanceof Error ? error.message : String(error) }),
  );
});
process.on("disconnect", () => process.exit(0));
