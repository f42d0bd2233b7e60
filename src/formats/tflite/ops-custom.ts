/** @file Custom operators by their code. */
import type { Value } from "../../graph/graph.ts";
import { core } from "../core.ts";
import { asReal } from "./common.ts";
import { type Handlers, malformed, type OpContext } from "./context.ts";
import { readFlexNumbers } from "./flexbuffer.ts";

/** Results a file may ask for: the tensors of a detection are small. */
const MAX_DETECTIONS = 100_000;

function detectionPostprocess(c: OpContext): readonly Value[] {
  const span = c.op.customOptions;
  if (span === null) throw malformed("the options are missing");
  const options = readFlexNumbers(c.model.reader.view(span));
  const number = (name: string, fallback?: number): number => {
    const n = Object.hasOwn(options, name) ? options[name] : fallback;
    if (n === undefined || !Number.isFinite(n)) throw malformed(`the option ${name} is missing`);
    return n;
  };
  const count = (name: string, fallback?: number): number => {
    const n = number(name, fallback);
    if (Number.isInteger(n) && n > 0 && n <= MAX_DETECTIONS) return n;
    throw malformed(`${name} is ${n}, expected 1 to ${MAX_DETECTIONS}`);
  };
  const ins = [c.in(0), c.in(1), c.in(2)].map((v) => asReal(c, v));
  return c.emitAll(core.detection_postprocess, ins, {
    maxDetections: count("max_detections"),
    maxClassesPerDetection: count("max_classes_per_detection"),
    detectionsPerClass: count("detections_per_class", 100),
    regular: number("use_regular_nms", 0) !== 0,
    scoreThreshold: Math.fround(number("nms_score_threshold")),
    iouThreshold: Math.fround(number("nms_iou_threshold")),
    classes: count("num_classes"),
    yScale: Math.fround(number("y_scale")),
    xScale: Math.fround(number("x_scale")),
    hScale: Math.fround(number("h_scale")),
    wScale: Math.fround(number("w_scale")),
  });
}

export const customHandlers: Handlers = { TFLite_Detection_PostProcess: detectionPostprocess };
