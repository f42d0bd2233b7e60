/** @file Sparsity: which single weights of a model go. */
export {
  type GradualSchedule,
  type Grain,
  gradualSparsity,
  isPruningStep,
  type MagnitudeOptions,
  magnitudeMasks,
  nmMasks,
  SCOPES,
  type Scope,
} from "./magnitude.ts";
export {
  applyMasks,
  fullMasks,
  type LayerWeights,
  layerWeights,
  type Masks,
  sparsityOf,
} from "./weights.ts";
