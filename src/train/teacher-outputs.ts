/** @file What a teacher says to every view of the training data, computed once before training. */
import type { Graph } from "../graph/graph.ts";
import { eliminateDead } from "../graph/rewrite.ts";
import { cleanGraph } from "../pipeline.ts";
import type { Session } from "../runtime/session.ts";
import { UserError } from "../util/errors.ts";
import type { BatchSource } from "./batches.ts";
import { sharedBytes } from "./data/sets.ts";
import { tensorsOf } from "./evaluate.ts";
import { logitsOf } from "./network.ts";

export interface TeacherOutputsOptions {
  /** Compiles and loads a clean graph. */
  readonly open: (graph: Graph) => Promise<Session>;
  /** Rows that count; those behind them only fill up the last batch. */
  readonly count: number;
  readonly onBatch?: (done: number, total: number) => void;
  /** Ends it; the result is then null. */
  readonly signal?: AbortSignal;
}

/** The logits of a classifier whose rows are those of the batches, [count, outputs], in memory that workers share. */
export async function teacherOutputs(
  teacher: Graph,
  source: BatchSource,
  { open, count, onBatch, signal }: TeacherOutputsOptions,
): Promise<Float32Array | null> {
  const clean = cleanGraph(teacher);
  const logits = logitsOf({ graph: clean, at: (v) => v });
  const says = eliminateDead({ ...clean, outputs: [logits], outputNames: ["logits"] });
  const session = await open(says);
  try {
    const total = source.batchesPerEpoch;
    let all: Float32Array | null = null;
    for (let i = 0; i < total; i++) {
      if (signal?.aborted === true) return null;
      const { feeds } = await source.batch(i);
      const y = session.run(tensorsOf(says, feeds))[0]!.data as Float32Array;
      const width = y.length / source.rows;
      all ??= new Float32Array(sharedBytes(4 * count * width));
      const from = i * source.rows;
      all.set(y.subarray(0, Math.min(source.rows, count - from) * width), from * width);
      onBatch?.(i + 1, total);
    }
    if (all?.every(Number.isFinite) === true) return all;
    throw new UserError("E_DATA", "the teacher gives numbers that are not finite", {
      hint: "check the model and data.mean, data.std",
    });
  } finally {
    session.close();
  }
}
