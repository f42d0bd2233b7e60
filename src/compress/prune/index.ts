/** @file Pruning of channels: groups, importance, choice, removal. */
export {
  type ChooseOptions,
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
export {
  LOSS_CRITERIA,
  type LossCriterion,
  type LossData,
  lossImportance,
} from "./loss-importance.ts";
export { maskChannels } from "./mask.ts";
export { type Kept, removeChannels } from "./remove.ts";
export { shufflesToGather } from "./shuffles.ts";
