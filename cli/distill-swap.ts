/** @file The student that BlockSwap chooses: by one batch of the training data, before any training. */
import type { Graph } from "../src/graph/graph.ts";
import { compiledExecutor } from "../src/optimize/executor.ts";
import { blockSwap, type SwapBudget } from "../src/train/student/block-swap.ts";
import { type MadeStudent, madeOfBlocks } from "../src/train/student/recipe.ts";
import { withBatch } from "../src/train/with-batch.ts";
import { UserError } from "../src/util/errors.ts";
import type { DistillFlags, DistillSettings } from "./distill-settings.ts";
import { count, ms } from "./format.ts";
import { type Io, seedOf } from "./io.ts";
import { type TrainSets, trainBatches } from "./train-data.ts";
import { inputOf } from "./train-setup.ts";
import { batchTensors } from "./train-snip.ts";

const amount = ({ kind, target }: SwapBudget): string => {
  if (kind === "latency") return `${ms(target)} predicted`;
  return `${count(target)} ${kind === "params" ? "parameters" : "MACs"}`;
};

/** Types in order with how often in a row: "S, 2 G(4), BG(2,M)". */
function inRuns(types: readonly string[]): string {
  const runs: { type: string; times: number }[] = [];
  for (const type of types) {
    const last = runs.at(-1);
    if (last?.type === type) last.times++;
    else runs.push({ type, times: 1 });
  }
  return runs.map(({ type, times }) => (times === 1 ? type : `${times} ${type}`)).join(", ");
}

/** The first training batch of a run, as tensors: the teacher's input, then targets [batch, classes]. */
async function firstBatch(teacher: Graph, settings: DistillSettings, sets: TrainSets) {
  const { data } = settings.train;
  const own = { ...settings.train, data: { ...data, workers: 0 } };
  const input = inputOf(teacher, sets.train, own);
  const source = trainBatches(sets.train, own, input);
  try {
    const tensors = batchTensors(await source.batch(0), input);
    return [tensors[input.name]!, tensors["target"]!];
  } finally {
    await source.close();
  }
}

/** The mixture of blocks within the budget whose loss depends most on its features. Throws UserError as blockSwap. */
export async function swappedStudent(
  single: Graph,
  budget: SwapBudget,
  job: {
    readonly flags: DistillFlags;
    readonly io: Io;
    readonly settings: DistillSettings;
    readonly sets: TrainSets;
  },
): Promise<MadeStudent> {
  const { flags, io, settings, sets } = job;
  if (flags.init === "teacher") {
    throw new UserError("E_ARGUMENT", "BlockSwap compares networks of fresh weights", {
      where: "--init",
      hint: "leave it out, or name the blocks: --student blocks=BG(2,4) --init teacher",
    });
  }
  const teacher = withBatch(single, settings.train.data.batch);
  const { student, ranked } = await blockSwap(teacher, {
    ...{ budget, seed: seedOf(flags), executor: compiledExecutor() },
    batch: await firstBatch(teacher, settings, sets),
    onSample: (done, of) => io.progress(`comparing mixtures of blocks: ${done} of ${of}`),
  });
  const [best] = ranked;
  io.print(`${ranked.length} mixtures of blocks near ${amount(budget)}, by Fisher potential:`);
  io.print(`  ${inRuns(best!.types)}`);
  const made = madeOfBlocks(student);
  return { ...made, graph: withBatch(made.graph, 1) };
}
