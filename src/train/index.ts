/** @file The entry "tersor/train": networks in code, losses, optimisers and training steps. */
export { gradients } from "../autodiff/backward.ts";
export { type BlockType, blockType } from "../compress/substitute/index.ts";
export { trainableGraph } from "../pipeline.ts";
export type { Batch, BatchSource } from "./batches.ts";
export { type Between, hooksInTurn, type NextState, type StateHook } from "./between.ts";
export {
  type Checkpoint,
  decodeCheckpoint,
  differences,
  encodeCheckpoint,
  modelIdentity,
  type RunIdentity,
} from "./checkpoint.ts";
export { defineTraining, type TrainConfig } from "./config.ts";
export type { BatchOptions, EvaluationOptions } from "./data/maker.ts";
export type { PictureOptions } from "./data/pictures.ts";
export { type ReadOptions, readPictures, readSet, readSounds } from "./data/read.ts";
export {
  type ArraySet,
  type ExampleSet,
  type PictureSet,
  type SoundSet,
  subset,
} from "./data/sets.ts";
export type { SoundOptions } from "./data/sounds.ts";
export { evaluationBatches, trainingBatches, viewBatches } from "./data/source.ts";
export {
  type DistilOptions,
  distil,
  hintLoss,
  type PointNames,
  type PointPair,
  pointPairs,
} from "./distil.ts";
export { type EngineModel, type TrainingEngine, wasmEngine } from "./engine.ts";
export {
  type Evaluator,
  type EvaluatorOptions,
  evaluator,
  type TrainingMetric,
} from "./evaluate.ts";
export * from "./exits/index.ts";
export { type LogMelOptions, logMel, type MfccOptions, mfcc } from "./features.ts";
export { constantly, glorot, type Initializer, kaiming, truncatedNormal } from "./initial.ts";
export {
  type EvaluationReport,
  type FitOptions,
  type FitResult,
  fit,
  type LoopState,
  type Progress,
  type StepReport,
} from "./loop.ts";
export {
  attentionMap,
  attentionTransfer,
  crossEntropy,
  distillation,
  meanSquaredError,
} from "./losses.ts";
export { maskName, replaceMasks, withMasks } from "./masks.ts";
export { type DsCnnOptions, dsCnn } from "./models/ds-cnn.ts";
export { lenet5 } from "./models/lenet5.ts";
export { type MlpOptions, mlp } from "./models/mlp.ts";
export { type MobilenetV2Options, mobilenetV2 } from "./models/mobilenet-v2.ts";
export type { ModelOptions } from "./models/options.ts";
export { resnet8 } from "./models/resnet8.ts";
export {
  type PictureTransformerOptions,
  type SequenceTransformerOptions,
  type TransformerOptions,
  transformer,
} from "./models/transformer.ts";
export { type BlockChoice, type WideResnetOptions, wideResnet } from "./models/wide-resnet.ts";
export { type ConvOptions, Net, type NetOptions } from "./net.ts";
export { logitsOf, type Network, valueNamed } from "./network.ts";
export {
  type AdamOptions,
  adam,
  type Optimizer,
  type SgdOptions,
  sgd,
  type Update,
  type UpdateInput,
} from "./optimizers.ts";
export {
  type DecayRule,
  decayBy,
  type ParameterTag,
  parametersOf,
  tagsOf,
  withOwnParameters,
} from "./parameters.ts";
export { attentionPoints, type Feature, type FeatureLayout, featureNamed } from "./points.ts";
export { type Converted, type ConvertedLayer, convertQat } from "./qat/convert.ts";
export { prepareQat, type QatOptions } from "./qat/prepare.ts";
export type { ObserveOptions } from "./qat/ranges.ts";
export { reestimateBatchNorm } from "./reestimate.ts";
export {
  constantRate,
  cosineRate,
  inTurn,
  oneCycle,
  type Schedule,
  stepRate,
  warmUp,
} from "./schedules.ts";
export * from "./sparse/index.ts";
export {
  type LossInput,
  type StateTensor,
  type StepOptions,
  type TrainingStep,
  trainingStep,
} from "./step.ts";
export * from "./structured/index.ts";
export {
  blockSwap,
  type Mixture,
  SWAP_TYPES,
  type SwapBudget,
  type SwapOptions,
  type Swapped,
} from "./student/block-swap.ts";
export { fisherGraph, type Probe } from "./student/fisher.ts";
export { freshWeights } from "./student/fresh-weights.ts";
export {
  type MadeStudent,
  type RecipeOptions,
  studentFromText,
} from "./student/recipe.ts";
export {
  type Student,
  type StudentBlock,
  type StudentOptions,
  studentOf,
} from "./student/student.ts";
export { SWAP_FORMS, swapBudget } from "./student/swap-text.ts";
export type { TeacherOptions } from "./teacher.ts";
export { type TeacherOutputsOptions, teacherOutputs } from "./teacher-outputs.ts";
export {
  createTrainer,
  type StepResult,
  type TrainedModelOptions,
  type Trainer,
  type TrainerOptions,
} from "./trainer.ts";
export { withBatch } from "./with-batch.ts";
