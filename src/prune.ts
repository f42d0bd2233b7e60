/**
 * @file Prunes a float model without data: channels that go, or single weights that become 0, with what each layer had
 * and has. Browsers and Node.
 */
import {
  chooseChannels,
  normalised,
  type PrunedLayer,
  type PruneTarget,
  prunableGroups,
  prunedLayers,
  removeChannels,
  removedShare,
  shufflesToGather,
  WEIGHT_CRITERIA,
  type WeightCriterion,
  weightImportance,
} from "./compress/prune/index.ts";
import { unpackWeights } from "./compress/quantize/index.ts";
import {
  applyMasks,
  type LayerWeights,
  layerWeights,
  type Masks,
  magnitudeMasks,
  nmMasks,
  type Scope,
  sparsityOf,
} from "./compress/sparsity/index.ts";
import { constantBytes, macsOf } from "./graph/count.ts";
import type { Graph } from "./graph/graph.ts";
import { cleanup } from "./passes/index.ts";
import { runPasses } from "./passes/pass.ts";
import { type CompileModelOptions, cleanGraph, compile } from "./pipeline.ts";
import { UserError } from "./util/errors.ts";

export type { PrunedLayer } from "./compress/prune/index.ts";

/** How much is to go: a share of the channels or weights, or what may be left. */
export type PruneAmount =
  | { readonly ratio: number }
  | { readonly macs: number }
  | { readonly bytes: number }
  | { readonly latencyMs: number };

/** By channels, by the magnitude of single weights, or n of each m weights. */
export type PruneMethod =
  | { readonly kind: "channels"; readonly criterion: WeightCriterion }
  | {
      readonly kind: "weights";
      readonly scope: Scope;
      readonly blocks?: boolean;
    }
  | { readonly kind: "nm"; readonly n: number; readonly m: number };

export interface PruneOptions {
  readonly method: PruneMethod;
  /** Not for n:m, which says it itself. */
  readonly amount?: PruneAmount;
  /** Channels stay a multiple of this where they can; default 1. */
  readonly roundTo?: number;
  /** Largest share of a group that goes; default 1. */
  readonly maxShare?: number;
  /** Rank channels by importance per saved cost; true: of the target. */
  readonly perCost?: boolean | ((graph: Graph) => number);
  readonly seed?: number;
  /** How times are predicted. */
  readonly compile?: CompileModelOptions;
}

export interface PruneResult {
  readonly graph: Graph;
  /** The clean graph it was made from, weights in f32. */
  readonly original: Graph;
  readonly layers: readonly PrunedLayer[];
  readonly macs: readonly [before: number, after: number];
  /** Bytes of all constants. */
  readonly bytes: readonly [before: number, after: number];
  readonly predictedMs: readonly [before: number, after: number];
  /** Share of the channels that could go, or of the weights, that went. */
  readonly removed: number;
}

/** The clean graph; weights stored in fewer bits are f32, so that they can be judged. */
const clean = (graph: Graph): Graph => unpackWeights(cleanGraph(graph));

/** The clean graph with batch normalisations as they were, which their scales are judged by. */
function withNorms(graph: Graph): Graph {
  const kept = cleanup.filter((pass) => pass.name !== "fold");
  return unpackWeights(runPasses(graph, kept));
}

/** Predicted milliseconds of an inference. */
export const predictedMs = (graph: Graph, options: CompileModelOptions = {}): number =>
  compile(graph, options).predictedNs / 1e6;

interface Pruned {
  readonly graph: Graph;
  readonly removed: number;
}

/** What is to be reached; predicted times are of the clean graph. */
export function targetOf(amount: PruneAmount, options: CompileModelOptions = {}): PruneTarget {
  if ("ratio" in amount) return { share: amount.ratio };
  if ("macs" in amount) {
    return { cost: macsOf, limit: amount.macs, what: "the number of multiply-accumulates" };
  }
  if ("bytes" in amount) {
    return { cost: constantBytes, limit: amount.bytes, what: "the size of the weights in bytes" };
  }
  const cost = (graph: Graph): number => predictedMs(cleanGraph(graph), options);
  return { cost, limit: amount.latencyMs, what: "the predicted time in ms" };
}

function pruneChannels(graph: Graph, criterion: WeightCriterion, options: PruneOptions): Pruned {
  const { amount, seed = 1, compile: predict = {}, ...choice } = options;
  if (amount === undefined) {
    throw new UserError("E_ARGUMENT", "how much is to go is missing", {
      hint: "give a ratio, or a target of MACs, bytes or latency",
    });
  }
  const source = shufflesToGather(criterion === "bn" ? withNorms(graph) : clean(graph));
  const groups = prunableGroups(source);
  const importance = weightImportance(source, groups, criterion, { seed });
  const ranked = criterion === "random" ? importance : normalised(importance);
  const kept = chooseChannels(source, groups, ranked, targetOf(amount, predict), choice);
  return { graph: cleanGraph(removeChannels(source, kept)), removed: removedShare(kept) };
}

/** Share of zeros that leaves so many weights of those that can go. */
function sparsityFor(graph: Graph, amount: PruneAmount | undefined): number {
  if (amount !== undefined && "ratio" in amount) return amount.ratio;
  throw new UserError("E_ARGUMENT", "single weights are pruned to a share", {
    hint: "give --ratio; MACs, bytes and latency are targets of channel pruning",
    where: graph.name,
  });
}

/** Methods that set single weights to 0. */
export type WeightMethod = Exclude<PruneMethod, { readonly kind: "channels" }>;

/** Magnitudes that compete, and what goes together. */
export const magnitudesOf = (method: WeightMethod & { readonly kind: "weights" }) =>
  ({ scope: method.scope, grain: method.blocks === true ? "block" : "single" }) as const;

/** Which weights stay by the method; `sparsity` is the share that goes, which n:m says itself. */
export const weightMasks = (
  method: WeightMethod,
  weights: readonly LayerWeights[],
  sparsity: number,
): Masks =>
  method.kind === "nm"
    ? nmMasks(weights, method.n, method.m)
    : magnitudeMasks(weights, { sparsity, ...magnitudesOf(method) });

/** The clean graph with weights at 0. */
function pruneWeights(graph: Graph, options: PruneOptions): Pruned {
  const weights = layerWeights(graph);
  const { method, amount } = options;
  if (weights.length === 0) {
    throw new UserError("E_UNSUPPORTED", "the model has no f32 weights to prune");
  }
  const sparsity = method.kind === "weights" ? sparsityFor(graph, amount) : 0;
  const made = method.kind === "channels" ? new Map() : weightMasks(method, weights, sparsity);
  return { graph: applyMasks(graph, weights, made), removed: sparsityOf(made) };
}

/**
 * Prunes a float model as imported, or clean. Throws UserError where the method does not fit the model, or the target
 * cannot be reached.
 */
export function pruneModel(model: Graph, options: PruneOptions): PruneResult {
  const { method, compile: predict = {} } = options;
  const original = clean(model);
  const { graph, removed } =
    method.kind === "channels"
      ? pruneChannels(model, method.criterion, options)
      : pruneWeights(original, options);
  return {
    graph,
    original,
    layers: prunedLayers(original, graph),
    macs: [macsOf(original), macsOf(graph)],
    bytes: [constantBytes(original), constantBytes(graph)],
    predictedMs: [predictedMs(original, predict), predictedMs(graph, predict)],
    removed,
  };
}

/** The method by its name on the command line; null: there is none of that name. */
export function pruneMethod(text: string): PruneMethod | null {
  const criterion = WEIGHT_CRITERIA.find((c) => c === text);
  if (criterion !== undefined) return { kind: "channels", criterion };
  if (text === "magnitude") return { kind: "weights", scope: "global" };
  if (text === "magnitude-layer") return { kind: "weights", scope: "layer" };
  if (text === "blocks") return { kind: "weights", scope: "global", blocks: true };
  if (text === "lamp") return { kind: "weights", scope: "lamp" };
  const nm = /^nm=(\d+):(\d+)$/.exec(text);
  return nm === null ? null : { kind: "nm", n: Number(nm[1]), m: Number(nm[2]) };
}
