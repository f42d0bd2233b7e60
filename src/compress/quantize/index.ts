/** @file Quantisation after training: calibration, 8-bit models, half-precision storage, sensitivity. */
export {
  type Batches,
  type CalibrationStats,
  collectStats,
  layerName,
  withOutputs,
} from "./calibrate.ts";
export { correctBias } from "./correct-bias.ts";
export { StatsCollector, type ValueStats } from "./histogram.ts";
export { OBSERVERS, type Observer, type Range, rangeOf } from "./observer.ts";
export {
  activationParams,
  checkBits,
  quantizeLayer,
  quantizeLayerTo,
  type WeightGrid,
  type WeightRange,
  weightSteps,
} from "./params.ts";
export { type Form, writeQuantised } from "./places.ts";
export {
  type Parameters,
  type QuantizeOptions,
  quantizeGraph,
  quantizeWith,
} from "./quantize-graph.ts";
export { quantizeIo } from "./quantize-io.ts";
export { type SharedRanges, sharedRanges } from "./ranges.ts";
export {
  layerMap,
  type Selection,
  type SelectionOptions,
  selectNodes,
  sharedParams,
} from "./selection.ts";
export {
  compareGraphs,
  type LayerSensitivity,
  layerSensitivity,
  type SensitivityOptions,
} from "./sensitivity.ts";
export { type StoreWeightsOptions, storeWeights } from "./store-weights.ts";
export { plainWeights, unpackWeights } from "./unpack-weights.ts";
