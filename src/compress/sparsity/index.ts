/** @file Sparsity: which single weights of a model go. */
export {
  type GradualSchedule,
  type Grain,
  gradualSparsity,
  isPruningStep,
  type MagnitudeOptions,
  magnitudeMasks,
  masksByScores,
  nmMasks,
  SCOPES,
  type Scope,
  type ScoreOptions,
} from "./magnitude.ts";
export { snipMasks, snipScores } from "./snip.ts";
export {
  applyMasks,
  fullMasks,
  type LayerWeights,
  layerWeights,
  type Masks,
  sparsityOf,
} from "./weights.ts";
