/** @file The table of derivatives, and why the operators without one have none. */
import { ops } from "../../ops/index.ts";
import type { VjpRule } from "../rule.ts";
import { binaryRules } from "./binary.ts";
import { normRules } from "./norms.ts";
import { poolRules } from "./pools.ts";
import { productRules } from "./products.ts";
import { quantRules } from "./quant.ts";
import { reduceRules } from "./reduce.ts";
import { shapeRules } from "./shape.ts";
import { unaryRules } from "./unary.ts";

/** Rules by operator name. */
export const RULES: ReadonlyMap<string, VjpRule> = new Map(
  [
    ...unaryRules,
    ...binaryRules,
    ...reduceRules,
    ...shapeRules,
    ...productRules,
    ...poolRules,
    ...normRules,
    ...quantRules,
  ].map((r) => [r.op.name, r]),
);

const SECOND = "second derivatives are not offered";
const QUANTISED = "a quantised operator: train the float model, with fake quantisation";
const SELECTS = "its result is a choice among boxes";

/** Operators that cannot be differentiated, with the reason users are told. */
export const REFUSED: Readonly<Record<string, string>> = {
  conv_backward_weights: SECOND,
  max_pool_backward: SECOND,
  batch_norm_training_backward: SECOND,
  fake_quantize_backward: SECOND,
  lsq_quantize_backward: SECOND,
  quant_params: "ranges are observed, not learned",
  row_range: "ranges are observed, not learned",
  cum_prod: "running products are not differentiated; write it as exp(cum_sum(log(x)))",
  grid_sample: "sampling at computed places is not differentiated",
  roi_align: "sampling at computed places is not differentiated",
  non_max_suppression: SELECTS,
  detection_postprocess: SELECTS,
  assume_quant: QUANTISED,
  strip_quant: QUANTISED,
  dequantize: QUANTISED,
  quantize: QUANTISED,
  requantize: QUANTISED,
  lut: QUANTISED,
};

/** Operators whose rule stands for a derivative that is zero almost everywhere. */
export const STRAIGHT_THROUGH: ReadonlySet<string> = new Set(quantRules.map((r) => r.op.name));

/** Operators that have neither a rule, nor a reason, nor a definition by other operators. */
export const undecided = (): string[] =>
  Object.values(ops)
    .filter((op) => !RULES.has(op.name) && REFUSED[op.name] === undefined && !op.decompose)
    .map((op) => op.name);
