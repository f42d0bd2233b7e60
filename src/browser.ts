/**
 * @file The library's public interface for browsers: everything that needs no file system. Decoders of data
 * files are an entry of their own, `tersor/data`, so that pages carry only what they use.
 */

export {
  type Comparison,
  compareTraces,
  type NodeDifference,
  type Trace,
  type TracedValue,
  traceCompiled,
  traceInterpreted,
} from "./compare.ts";
export {
  type Factorised,
  type FactorisedLayer,
  type FactoriseOptions,
  factorise,
  outputErrors,
  type RankRule,
} from "./compress/factorise/index.ts";
export {
  type ChannelGroup,
  type ChooseOptions,
  type ChosenRatios,
  channelGroups,
  chooseChannels,
  type Importance,
  importanceOf,
  type Kept,
  keptByRatios,
  type LossCriterion,
  type LossData,
  lossImportance,
  maskChannels,
  narrowEvenly,
  normalised,
  type PlanHooks,
  type PruneCriterion,
  type PrunePlan,
  type PruneRound,
  type PruneTarget,
  prunableGroups,
  prunePlanned,
  pruneSensitivity,
  ratiosFor,
  removeChannels,
  type Sensitivity,
  type ShareOptions,
  type ShareSubject,
  shufflesToGather,
  type WeightCriterion,
  weightImportance,
} from "./compress/prune/index.ts";
export {
  type CalibrationStats,
  collectStats,
  type LayerSensitivity,
  layerSensitivity,
  OBSERVERS,
  type Observer,
  type QuantizeOptions,
  quantizeGraph,
  quantizeIo,
  type StoreWeightsOptions,
  storeWeights,
  unpackWeights,
} from "./compress/quantize/index.ts";
export {
  applyMasks,
  fullMasks,
  type GradualSchedule,
  gradualSparsity,
  isPruningStep,
  type LayerWeights,
  layerWeights,
  type MagnitudeOptions,
  type Masks,
  magnitudeMasks,
  masksByScores,
  nmMasks,
  snipMasks,
  sparsityOf,
} from "./compress/sparsity/index.ts";
export {
  inputMoments,
  type Substituted,
  type SubstituteOptions,
  substitutable,
  substitute,
} from "./compress/substitute/index.ts";
export { defineConfig, type TersorConfig } from "./config.ts";
export { randomFeed } from "./feeds.ts";
export { exportOnnx, type OnnxExportOptions } from "./formats/onnx/export.ts";
export { importOnnx, type OnnxImportOptions } from "./formats/onnx/import.ts";
export { importTflite, type TfliteImportOptions } from "./formats/tflite/index.ts";
export { macsOf, parameterCount } from "./graph/count.ts";
export { type Executor, type Graph, GraphBuilder, type Node, type Value } from "./graph/graph.ts";
export { type InterpretOptions, interpret } from "./graph/interpret.ts";
export { parseGraph } from "./graph/parse.ts";
export { printGraph } from "./graph/print.ts";
export {
  inspectModel,
  type ModelFacts,
  type ModelInfo,
  type PartialModelInfo,
} from "./inspect.ts";
export type { Program } from "./kernel/program.ts";
export { compiledExecutor } from "./optimize/executor.ts";
export type { MetricName, MetricValue } from "./optimize/metrics.ts";
export {
  type OptimizeOptions,
  type OptimizeResult,
  optimize,
  plannedRecipes,
  RECIPE_NAMES,
} from "./optimize/optimize.ts";
export type {
  BaselineReport,
  CandidateReport,
  Limits,
  OptimizeEvent,
  OptimizeReport,
  Rows,
} from "./optimize/types.ts";
export {
  type CompiledModel,
  type CompileModelOptions,
  cleanGraph,
  compile,
  type LoadedModel,
  type LoadOptions,
  loadModel,
  type ModelFormat,
  targetGraph,
  toOnnx,
} from "./pipeline.ts";
export type { CompileResult } from "./plan/compile.ts";
export {
  type PruneAmount,
  type PrunedLayer,
  type PruneMethod,
  type PruneOptions,
  type PruneResult,
  pruneMethod,
  pruneModel,
} from "./prune.ts";
export { renderReport } from "./report/html.ts";
export {
  createSession,
  type Session,
  type SessionOptions,
  type StepTime,
} from "./runtime/session.ts";
export type { SizeLimits } from "./select/limits.ts";
export type { Pin } from "./select/pins.ts";
export { type DeviceProfile, parseProfile } from "./select/profile.ts";
export type { Explanation } from "./select/select.ts";
export { type Artefact, type ArtefactOptions, writeArtefact } from "./targets/wasm/artefact.ts";
export type { DType } from "./tensor/dtype.ts";
export { dequantizeTensor, quantizeTensor } from "./tensor/quant.ts";
export {
  makeTensor,
  type QuantParams,
  type Tensor,
  type TensorType,
  tensorOf,
  tensorType,
  toNumbers,
} from "./tensor/tensor.ts";
export { type Diagnostic, type ErrorCode, InternalError, UserError } from "./util/errors.ts";
export { VERSION } from "./version.ts";
