/** @file `tersor prune` with data, of single weights: which go, and how trainings keep them at 0. */
import {
  applyMasks,
  layerWeights,
  type Masks,
  sparsityOf,
} from "../src/compress/sparsity/index.ts";
import type { Graph } from "../src/graph/graph.ts";
import { weightMasks } from "../src/prune.ts";
import type { SparsityConfig } from "../src/train/config.ts";
import { parametersOf, withOwnParameters } from "../src/train/parameters.ts";
import { UserError } from "../src/util/errors.ts";
import type { SingleMethod } from "./prune-options.ts";
import type { Cut, Job, Round } from "./prune-run.ts";
import type { Training } from "./prune-settings.ts";
import { nonZero } from "./train-sparsity.ts";

const ratioOf = ({ amount }: Job): number =>
  amount !== undefined && "ratio" in amount ? amount.ratio : 0;

/** Methods that need no training. */
type CutMethod = Exclude<SingleMethod, { readonly kind: "movement" }>;

/** The weights that go at 0, by the method at a share. */
async function masked({ data }: Job, graph: Graph, method: CutMethod, ratio: number) {
  const own = withOwnParameters(graph);
  const weights = layerWeights(own, parametersOf(own));
  if (weights.length === 0) {
    throw new UserError("E_UNSUPPORTED", "the model has no f32 weights to prune");
  }
  const masksOf = (): Masks | Promise<Masks> => {
    if (method.kind !== "snip") return weightMasks(method, weights, ratio);
    return data.sensitive(own, { sparsity: ratio, scope: method.scope });
  };
  const masks = await masksOf();
  return { graph: applyMasks(own, weights, masks), removed: sparsityOf(masks) };
}

/** How a training between rounds keeps weights at 0. */
function sparsityAt(job: Job, method: SingleMethod, part: number): SparsityConfig {
  if (method.kind === "snip") return { method: "zeros" };
  const ratio = method.kind === "nm" ? {} : { ratio: ratioOf(job) * part };
  return { method: job.flags.method, ...ratio };
}

/** What the last trainings are told. */
interface LastSparsity {
  /** Of fine-tuning, which starts from the original where `whole`. */
  readonly tuning: SparsityConfig;
  readonly whole: boolean;
  /** Of other trainings, whose zeros are there before. */
  readonly held: SparsityConfig;
  /** Whether fine-tuning finds out which weights go. */
  readonly found: boolean;
}

export function lastSparsity(job: Job, method: SingleMethod): LastSparsity {
  const { gradual, srste, regrow } = job.settings.sparsity;
  const whole = gradual !== undefined || srste !== undefined || method.kind === "movement";
  const plain = sparsityAt(job, method, 1);
  const found = whole || regrow !== undefined;
  return {
    tuning: { ...plain, ...job.settings.sparsity },
    ...{ whole, found },
    held: found ? { method: "zeros" } : plain,
  };
}

type TrainBetween = (
  folder: string,
  training: Omit<Training, "out">,
) => Promise<{ readonly graph: Graph } | null>;

/** Prunes in rounds; none where weights only go in training. null: a training was stopped. */
export async function cutWeights(
  job: Job,
  method: SingleMethod,
  train: TrainBetween,
): Promise<Cut | null> {
  const { flags, settings, data, original } = job;
  if (method.kind === "movement") return { graph: original, rounds: [], sensitivity: null };
  const count = flags.rounds ?? 1;
  const rounds: Round[] = [];
  let graph = original;
  for (let round = 1; round <= count; round++) {
    const got = await masked(job, graph, method, (ratioOf(job) * round) / count);
    graph = got.graph;
    const now = { round, removed: got.removed, graph, pruned: await data.evaluate(graph) };
    if (round === count) {
      rounds.push({ ...now, tuned: null });
      break;
    }
    const sparsity = sparsityAt(job, method, round / count);
    const tuned = await train(`round-${round}`, { graph, epochs: settings.between, sparsity });
    if (tuned === null) return null;
    graph = tuned.graph;
    rounds.push({ ...now, tuned: await data.evaluate(graph) });
  }
  return { graph, rounds, sensitivity: null };
}

/** 0 where the other graph's weights are 0. */
export function zerosOf(fresh: Graph, sparse: Graph): Graph {
  const own = withOwnParameters(fresh);
  const weights = layerWeights(own, parametersOf(own));
  const like = withOwnParameters(sparse);
  return applyMasks(own, weights, new Map(layerWeights(like, parametersOf(like)).map(nonZero)));
}
