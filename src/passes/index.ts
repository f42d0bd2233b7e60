/** @file The passes, and the two lists in which they are run: read them aloud. */
import { cancelTransposes } from "./cancel-transposes.ts";
import { convTransposeToConv } from "./conv-transpose-to-conv.ts";
import { expandWeights } from "./expand-weights.ts";
import { foldAffine } from "./fold-affine.ts";
import { foldConstants } from "./fold-constants.ts";
import { fuseActivations } from "./fuse-activations.ts";
import { fuseFunctions } from "./fuse-functions.ts";
import { fuseNorms } from "./fuse-norms.ts";
import { fuseQdq } from "./fuse-qdq.ts";
import { fuseResidual } from "./fuse-residual.ts";
import { keepReducedAxes } from "./keep-reduced-axes.ts";
import { legalizeQuant } from "./legalize-quant.ts";
import { lowerLut } from "./lower-lut.ts";
import { matmulToLinear } from "./matmul-to-linear.ts";
import { mergeEqual } from "./merge-equal.ts";
import { mergeLuts } from "./merge-luts.ts";
import { mergeReshapes } from "./merge-reshapes.ts";
import { type Pass, untilStable } from "./pass.ts";
import { removeDead } from "./remove-dead.ts";
import { removeDeadChannels } from "./remove-dead-channels.ts";
import { removeIdentities } from "./remove-identities.ts";
import { spreadConvTranspose } from "./spread-conv-transpose.ts";
import { toLayout } from "./to-layout.ts";
import { zeroNegligibleWeights } from "./zero-negligible-weights.ts";

export { expandWeights } from "./expand-weights.ts";
export { definePass, type Pass, type PassEvent, type RunPassesOptions, runPasses } from "./pass.ts";
export { type Layout, toLayout } from "./to-layout.ts";

const simplify = untilStable("simplify", [
  removeDead,
  foldConstants,
  removeIdentities,
  mergeReshapes,
  mergeEqual,
]);

/** Portable clean-up: the result has the operators that interchange formats know. */
export const cleanup: readonly Pass[] = [
  simplify,
  fuseNorms,
  fuseFunctions,
  matmulToLinear,
  untilStable("fold", [foldAffine, foldConstants, removeIdentities]),
  fuseQdq,
  cancelTransposes,
  zeroNegligibleWeights,
  removeDeadChannels,
  simplify,
];

/** What training starts from: as `cleanup`, but normalisations stay apart from weights, and all weights stay. */
export const trainable: readonly Pass[] = [
  simplify,
  fuseNorms,
  fuseFunctions,
  matmulToLinear,
  simplify,
];

/** What compiled code wants: one layout, fused operators, no quantised arithmetic without a kernel. */
export const toTarget: readonly Pass[] = [
  keepReducedAxes,
  toLayout("nhwc"),
  simplify,
  spreadConvTranspose,
  convTransposeToConv,
  simplify,
  fuseResidual,
  fuseActivations,
  lowerLut,
  mergeLuts,
  legalizeQuant,
  simplify,
];

/** What an ONNX file wants: its layout, and no transposes that cancel. */
export const toExchange: readonly Pass[] = [toLayout("nchw"), simplify];

/** Every pass by itself. */
export const allPasses: readonly Pass[] = [
  removeDead,
  foldConstants,
  removeIdentities,
  mergeReshapes,
  mergeEqual,
  expandWeights,
  fuseNorms,
  fuseFunctions,
  matmulToLinear,
  foldAffine,
  fuseQdq,
  cancelTransposes,
  zeroNegligibleWeights,
  removeDeadChannels,
  keepReducedAxes,
  toLayout("nhwc"),
  toLayout("nchw"),
  spreadConvTranspose,
  convTransposeToConv,
  fuseResidual,
  fuseActivations,
  lowerLut,
  mergeLuts,
  legalizeQuant,
];
