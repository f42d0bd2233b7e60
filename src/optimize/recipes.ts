/** @file What can be tried on a model: each recipe makes one candidate graph from the cleaned model. */
import {
  type CalibrationStats,
  collectStats,
  layerName,
  type Observer,
  plainWeights,
  quantizeGraph,
  storeWeights,
} from "../compress/quantize/index.ts";
import type { Graph } from "../graph/graph.ts";
import { typeOf } from "../graph/graph.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { compiledExecutor } from "./executor.ts";

/** What recipes work from. */
export interface RecipeContext {
  /** The model after clean-up. */
  readonly clean: Graph;
  readonly calibration: readonly (readonly Tensor[])[];
  /** Statistics of `float`, collected when first asked for. */
  stats(): Promise<CalibrationStats>;
  /** The cleaned model with all weights as f32: what quantisation starts from. */
  readonly float: Graph;
}

export interface Recipe {
  readonly name: string;
  readonly description: string;
  /** Needs a float model. */
  readonly needsFloat: boolean;
  build(context: RecipeContext): Promise<Graph>;
}

export function recipeContext(
  clean: Graph,
  calibration: readonly (readonly Tensor[])[],
): RecipeContext {
  let stats: Promise<CalibrationStats> | undefined;
  const float = plainWeights(clean);
  return {
    clean,
    float,
    calibration,
    stats: () => {
      stats ??= collectStats(float, compiledExecutor(), calibration);
      return stats;
    },
  };
}

const int8 = (suffix: string, observer: Observer, text: string): Recipe => ({
  name: `int8-${suffix}`,
  description: `8-bit weights and activations, ranges by ${text}`,
  needsFloat: true,
  build: async (c) => quantizeGraph(c.float, await c.stats(), { observer, weights: "max" }),
});

/** The observers tried, by the name in the recipe. */
export const OBSERVER_OF: Readonly<Record<string, Observer>> = {
  "int8-minmax": { kind: "min-max" },
  "int8-percentile": { kind: "percentile" },
  "int8-mse": { kind: "mse" },
  "int8-entropy": { kind: "entropy" },
};

/** In the order they are tried. */
export const RECIPES: readonly Recipe[] = [
  {
    name: "clean",
    description: "the model after clean-up, arithmetic unchanged",
    needsFloat: false,
    build: async (c) => c.clean,
  },
  {
    name: "fp16",
    description: "weights stored as f16, computed in f32",
    needsFloat: true,
    build: async (c) => storeWeights(c.clean, "f16"),
  },
  {
    name: "bf16",
    description: "weights stored as bf16, computed in f32",
    needsFloat: true,
    build: async (c) => storeWeights(c.clean, "bf16"),
  },
  int8("minmax", { kind: "min-max" }, "minimum and maximum"),
  int8("percentile", { kind: "percentile" }, "the 99.99 percentile"),
  int8("mse", { kind: "mse" }, "least squared error"),
  int8("entropy", { kind: "entropy" }, "least relative entropy"),
];

/** The model computes on reals somewhere that matters: at least one of its multiplying layers is float. */
export const isFloatModel = (graph: Graph): boolean =>
  graph.nodes.some((n) => n.op.cost !== undefined && typeOf(graph, n.outs[0]!).quant === undefined);

/** int8 with some layers left in float. */
export const mixedRecipe = (observer: string, kept: readonly string[]): Recipe => ({
  name: `${observer}-mixed-${kept.length}`,
  description: `${observer}, float in ${kept.length === 1 ? `layer ${kept[0]}` : `the ${kept.length} most sensitive layers`}`,
  needsFloat: true,
  build: async (c) =>
    quantizeGraph(c.float, await c.stats(), {
      observer: OBSERVER_OF[observer]!,
      keepFloat: new Set(kept),
    }),
});

export { layerName };
