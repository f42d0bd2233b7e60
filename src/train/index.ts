/** @file The entry "tersor/train": networks in code, losses, optimisers and training steps. */
export { gradients } from "../autodiff/backward.ts";
export type { Batch, BatchSource } from "./batches.ts";
export { type EngineModel, type TrainingEngine, wasmEngine } from "./engine.ts";
export {
  attentionMap,
  attentionTransfer,
  crossEntropy,
  distillation,
  meanSquaredError,
} from "./losses.ts";
export { lenet5 } from "./models/lenet5.ts";
export type { ModelOptions } from "./models/options.ts";
export { resnet8 } from "./models/resnet8.ts";
export { type WideResnetOptions, wideResnet } from "./models/wide-resnet.ts";
export { type ConvOptions, Net, type NetOptions } from "./net.ts";
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
  type AugmentOptions,
  type BatchOptions,
  batchesPerEpoch,
  evaluationBatches,
  type PictureBatch,
  type PictureSet,
  pictureBatches,
} from "./pictures.ts";
export {
  constantRate,
  cosineRate,
  oneCycle,
  type Schedule,
  stepRate,
  warmUp,
} from "./schedules.ts";
export {
  type LossInput,
  parametersOf,
  type StateTensor,
  type StepOptions,
  type TrainingStep,
  trainingStep,
} from "./step.ts";
export { createTrainer, type StepResult, type Trainer, type TrainerOptions } from "./trainer.ts";
