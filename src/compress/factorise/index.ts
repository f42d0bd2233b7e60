/** @file Factorisations of trained weights. */
export { type Evbmf, evbmf } from "./evbmf.ts";
export {
  type Factorised,
  type FactorisedLayer,
  type FactoriseOptions,
  factorise,
  METHODS,
  outputErrors,
} from "./factorise.ts";
export { type Kernel, type Layer, type LayerChoice, layersOf } from "./layer.ts";
export type { Cost } from "./method.ts";
export { RANK_FORMS, rankRule, shareOf } from "./rank-text.ts";
export type { RankRule } from "./ranks.ts";
