/** @file What a factorisation is: ranks, their cost, and the sub-graph that takes the layer's place. */
import type { Value } from "../../graph/graph.ts";
import type { Layer } from "./layer.ts";
import type { Place } from "./stages.ts";

export interface Cost {
  /** Elements of weights, bias left out. */
  readonly params: number;
  readonly macs: number;
}

/** A layer's weights as factors. */
export interface Factors {
  readonly ranks: readonly number[];
  /** What the factors multiply out to: [outputs, inputs, height, width]. */
  readonly dense: Float64Array;
  /** The error of the weights is at most this, relative in the Frobenius norm; absent: no bound is known. */
  readonly bound?: number;
  build(place: Place): Value;
}

export interface Method {
  readonly name: string;
  /** Why the layer has not the form this takes; null: it has. */
  refuses(layer: Layer): string | null;
  /** The largest ranks; their number is that of ranks to choose. */
  full(layer: Layer): readonly number[];
  cost(layer: Layer, ranks: readonly number[]): Cost;
  factor(layer: Layer, ranks: readonly number[]): Factors;
  /** Ranks that stand out from noise (EVBMF); absent: not defined for this method. */
  evident?(layer: Layer): readonly number[];
}
