/** @file Pruning of channels: groups, importance, choice, removal. */
export {
  type ChooseOptions,
  type CostTarget,
  chooseChannels,
  type PruneTarget,
  removedShare,
} from "./choose.ts";
export { type ChannelGroup, channelGroups, prunableGroups } from "./groups.ts";
export {
  type Importance,
  normalised,
  WEIGHT_CRITERIA,
  type WeightCriterion,
  weightImportance,
} from "./importance.ts";
export { type PrunedLayer, prunedLayers } from "./layers.ts";
export {
  LOSS_CRITERIA,
  type LossCriterion,
  type LossData,
  lossImportance,
} from "./loss-importance.ts";
export { maskChannels } from "./mask.ts";
export {
  CRITERIA,
  importanceOf,
  type PlanHooks,
  type PruneCriterion,
  type PrunePlan,
  type PruneRound,
  prunePlanned,
} from "./plan.ts";
export { type Kept, removeChannels } from "./remove.ts";
export {
  type ChosenRatios,
  pruneSensitivity,
  ratiosFor,
  SENSITIVITY_RATIOS,
  type Sensitivity,
  type SensitivityCurve,
  type SensitivityPoint,
  type SensitivitySettings,
} from "./sensitivity.ts";
export { keptByRatios, narrowEvenly, type ShareOptions, type ShareSubject } from "./shares.ts";
export { shufflesToGather } from "./shuffles.ts";
