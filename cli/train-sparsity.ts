/** @file Sparse training in `tersor train`: masks before the first step, masks that grow, and masks that move. */
import { fullMasks, type LayerWeights, layerWeights } from "../src/compress/sparsity/index.ts";
import type { Graph } from "../src/graph/graph.ts";
import { magnitudesOf, pruneMethod, type WeightMethod, weightMasks } from "../src/prune.ts";
import type { SparsityConfig } from "../src/train/config.ts";
import { parametersOf, withOwnParameters } from "../src/train/parameters.ts";
import {
  sparseTraining as planOf,
  type RegrowOptions,
  type SparseMethod,
  type SparseTraining,
} from "../src/train/sparse/index.ts";
import { UserError } from "../src/util/errors.ts";
import type { TrainSettings } from "./train-config.ts";
import { type FirstBatches, firstSnipMasks } from "./train-snip.ts";

/** How single weights become 0. */
export type SparsityMethod =
  | WeightMethod
  | { readonly kind: "snip"; readonly scope: "global" | "layer" }
  | { readonly kind: "movement"; readonly scope: "global" | "layer" }
  /** What is 0 stays 0. */
  | { readonly kind: "zeros" };

export const SPARSITY_METHODS =
  "magnitude, magnitude-layer, lamp, blocks, nm=2:4, snip, snip-layer, movement, movement-layer, zeros";

/** The method of a name; null: there is none that sets single weights to 0. */
export function sparsityMethod(text: string): SparsityMethod | null {
  if (text === "zeros") return { kind: "zeros" };
  const scored = /^(snip|movement)(-layer)?$/.exec(text);
  if (scored !== null) {
    const scope = scored[2] === undefined ? "global" : "layer";
    return scored[1] === "snip" ? { kind: "snip", scope } : { kind: "movement", scope };
  }
  const method = pruneMethod(text);
  return method === null || method.kind === "channels" ? null : method;
}

/** Whether the masks of a method may move. */
export const mayRegrow = (method: SparsityMethod): boolean =>
  (method.kind === "weights" && method.blocks !== true) ||
  method.kind === "snip" ||
  method.kind === "zeros";

/** What a training needs to become sparse, or to stay it. */
export interface SparseSetup extends SparseTraining {
  /** Steps after which all has gone that is to go. */
  readonly settled: number;
}

/** Steps of an epoch, and of the run. */
interface RunLength {
  readonly perEpoch: number;
  readonly steps: number;
}

const refuse = (key: string, message: string, hint: string): never => {
  throw new UserError("E_CONFIG", `sparsity${key}: ${message}`, { hint });
};

/** The method of a configuration. Throws UserError for keys that do not belong to it. */
function methodOf({ method: text, ratio, gradual, srste, regrow }: SparsityConfig): SparsityMethod {
  const found = sparsityMethod(text);
  if (found === null) return refuse(".method", `'${text}' sets no weights to 0`, SPARSITY_METHODS);
  const ownShare = found.kind === "nm" || found.kind === "zeros";
  if (!ownShare && ratio === undefined) {
    return refuse(".ratio", "missing", "the share of the weights that goes, 0 to 1");
  }
  if (ownShare && (ratio !== undefined || gradual !== undefined)) {
    return refuse(".method", `'${text}' says itself how much goes, at once`, "leave out the rest");
  }
  if (srste !== undefined && found.kind !== "nm") {
    return refuse(".srste", `'${text}' keeps no n of m`, "with method nm=2:4");
  }
  if (gradual !== undefined && found.kind === "snip") {
    return refuse(".gradual", `'${text}' is before the first step`, "leave it out, or magnitude");
  }
  if (regrow !== undefined && !mayRegrow(found)) {
    const hint = "with magnitude, magnitude-layer, lamp, snip or zeros";
    return refuse(".regrow", `masks of '${text}' do not move by it`, hint);
  }
  return found;
}

/** Times of the configuration are epochs. */
function scheduleOf(
  { begin = 0, end, every }: NonNullable<SparsityConfig["gradual"]>,
  { perEpoch, steps }: RunLength,
) {
  const first = Math.round(begin * perEpoch);
  const last = end === undefined ? Math.round((2 * steps) / 3) : Math.round(end * perEpoch);
  if (last <= first || last > steps) {
    const asked = `from step ${first} to ${last} of ${steps}`;
    return refuse(".gradual", asked, "end after it begins, within the run");
  }
  return { begin: first, end: last, every: every ?? often(last - first) };
}

/** Steps between changes, so that there are twenty. */
const often = (steps: number): number => Math.max(1, Math.round(steps / 20));

function regrowOf(
  { share, every, end, grow }: NonNullable<SparsityConfig["regrow"]>,
  { perEpoch, steps }: RunLength,
  usual: { readonly every?: number; readonly seed: number },
): RegrowOptions {
  const last = end === undefined ? Math.round((3 * steps) / 4) : Math.round(end * perEpoch);
  if (last < 1 || last > steps) {
    return refuse(".regrow.end", `step ${last} of ${steps}`, "an epoch within the run");
  }
  return {
    ...{ end: last, every: every ?? usual.every ?? often(last), seed: usual.seed },
    ...(share !== undefined && { fraction: share }),
    ...(grow !== undefined && { grow }),
  };
}

/** The mask of a layer that keeps what is not 0. */
export const nonZero = ({ name, tensor }: LayerWeights) =>
  [name, Uint8Array.from(tensor.data as Float32Array, (w) => (w === 0 ? 0 : 1))] as const;

/** null: all weights are trained. `trains`: which parameters learn; null: all. `first`: null where the run goes on. */
export async function sparseTraining(
  { sparsity, quantize, seed }: Pick<TrainSettings, "sparsity" | "quantize" | "seed">,
  model: Graph,
  trains: ((name: string) => boolean) | null,
  run: RunLength,
  first: FirstBatches | null,
): Promise<SparseSetup | null> {
  if (sparsity === undefined) return null;
  if (quantize !== undefined) {
    return refuse("", "not together with quantize", "train sparse first, then quantise the result");
  }
  const method = methodOf(sparsity);
  const own = withOwnParameters(model);
  const all = layerWeights(own, parametersOf(own));
  const weights = all.filter(({ name }) => trains === null || trains(name));
  if (weights.length === 0) {
    return refuse("", `${model.name} has no weights to prune`, "leave it out");
  }
  const names = new Set(weights.map(({ name }) => name));
  const chosen = (name: string): boolean => names.has(name);
  const { ratio: share = 0, gradual, srste, regrow: moves } = sparsity;
  const schedule =
    method.kind === "movement" || gradual !== undefined ? scheduleOf(gradual ?? {}, run) : null;
  const usual = { seed, ...(schedule !== null && { every: schedule.every }) };
  const regrow = moves === undefined ? {} : { regrow: regrowOf(moves, run, usual) };
  const plan = async (): Promise<SparseMethod> => {
    switch (method.kind) {
      case "movement":
        return { kind: "movement", scope: method.scope, ...schedule!, final: share };
      case "weights":
        if (schedule === null) break;
        return { kind: "gradual", ...magnitudesOf(method), ...schedule, final: share, ...regrow };
      case "nm":
        if (srste === undefined) break;
        return { kind: "nm", n: method.n, m: method.m, lambda: srste };
      case "zeros":
        return { kind: "fixed", masks: new Map(weights.map(nonZero)), ...regrow };
      case "snip": {
        const options = { sparsity: share, scope: method.scope };
        // The checkpoint that a run goes on from has the masks.
        const masks =
          first === null ? fullMasks(weights) : await firstSnipMasks(model, chosen, first, options);
        return { kind: "fixed", masks, ...regrow };
      }
    }
    return { kind: "fixed", masks: weightMasks(method, weights, share), ...regrow };
  };
  return { ...planOf(own, await plan(), chosen), settled: schedule?.end ?? 0 };
}
