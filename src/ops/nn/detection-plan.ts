/** @file Attributes of detection_postprocess and the sizes that follow from them and the inputs. */
import type { TensorType } from "../../tensor/tensor.ts";

export interface DetectionPostprocessAttrs {
  readonly maxDetections: number;
  /** Fast selection: classes reported per box. */
  readonly maxClassesPerDetection: number;
  /** Regular selection: boxes kept per class. */
  readonly detectionsPerClass: number;
  /** Regular: suppression runs per class. Fast: once, by each box's best score. */
  readonly regular: boolean;
  /** Boxes take part whose score is at least this. */
  readonly scoreThreshold: number;
  readonly iouThreshold: number;
  /** Number of classes; scores may have one more in front, the background. */
  readonly classes: number;
  readonly yScale: number;
  readonly xScale: number;
  readonly hScale: number;
  readonly wScale: number;
}

/** Sizes derived from the inputs. */
export interface DetectionPlan {
  readonly boxes: number;
  /** Numbers per encoded box; the first four count. */
  readonly coding: number;
  /** Scores per box, and how many of them are background. */
  readonly scores: number;
  readonly background: number;
  /** Classes reported per box (fast). */
  readonly perBox: number;
  /** Rows of the result. */
  readonly rows: number;
}

export function detectionPlan(
  ins: readonly TensorType[],
  attrs: DetectionPostprocessAttrs,
): DetectionPlan {
  const [encoded, scores] = ins as [TensorType, TensorType];
  const perBox = Math.min(attrs.maxClassesPerDetection, attrs.classes);
  return {
    boxes: encoded.shape[1]!,
    coding: encoded.shape[2]!,
    scores: scores.shape[2]!,
    background: scores.shape[2]! - attrs.classes,
    perBox,
    rows: attrs.maxDetections * attrs.maxClassesPerDetection,
  };
}
