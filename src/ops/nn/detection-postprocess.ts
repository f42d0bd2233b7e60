/**
 * @file Decoding of anchor boxes and selection of detections, in results of fixed size (unused
 * entries 0). Source: TensorFlow Lite's custom operator TFLite_Detection_PostProcess, fast and
 * regular.
 */
import { defineOp } from "../../graph/op.ts";
import { type Tensor, type TensorType, tensorOf, tensorType } from "../../tensor/tensor.ts";
import { UserError } from "../../util/errors.ts";
import { checkCount, checkFloat, checkShape, numbersOf } from "./access.ts";
import { lowerDetection } from "./detection-lower.ts";
import {
  type DetectionPlan,
  type DetectionPostprocessAttrs,
  detectionPlan,
} from "./detection-plan.ts";
import { f32t, quantised } from "./samples.ts";
import { type Box, suppress } from "./suppression.ts";

/** Encoded boxes [1, N, >= 4] (y, x, h, w), scores [1, N, C], anchors [N, 4] (y, x, h, w). */
function inferDetection(
  ins: readonly TensorType[],
  attrs: DetectionPostprocessAttrs,
): readonly TensorType[] {
  checkCount(ins, 3, 3);
  checkFloat(...ins);
  const [encoded, scores, anchors] = ins as [TensorType, TensorType, TensorType];
  const boxes = encoded.shape[1] ?? 0;
  if (encoded.shape.length !== 3 || encoded.shape[0] !== 1 || encoded.shape[2]! < 4) {
    throw new UserError("E_SHAPE", `expected boxes [1, N, 4], got [${encoded.shape}]`);
  }
  const columns = scores.shape[2] ?? 0;
  checkShape("scores", scores, [1, boxes, columns]);
  checkShape("anchors", anchors, [boxes, 4]);
  if (columns !== attrs.classes && columns !== attrs.classes + 1) {
    throw new UserError(
      "E_SHAPE",
      `${attrs.classes} classes and their background do not fit ${columns} scores a box`,
    );
  }
  const { rows } = detectionPlan(ins, attrs);
  const f32 = (...shape: number[]): TensorType => tensorType("f32", shape);
  return [f32(1, rows, 4), f32(1, rows), f32(1, rows), f32(1)];
}

/** One row of the result. */
interface Detection {
  readonly box: number;
  readonly class: number;
  readonly score: number;
}

function decodeBoxes(
  ins: readonly Tensor[],
  plan: DetectionPlan,
  attrs: DetectionPostprocessAttrs,
): readonly Box[] {
  const [encoded, , anchors] = ins.map(numbersOf) as ArrayLike<number>[] as [
    ArrayLike<number>,
    ArrayLike<number>,
    ArrayLike<number>,
  ];
  return Array.from({ length: plan.boxes }, (_, i) => {
    const e = (j: number): number => encoded[i * plan.coding + j]!;
    const a = (j: number): number => anchors[i * 4 + j]!;
    const y = (e(0) / attrs.yScale) * a(2) + a(0);
    const x = (e(1) / attrs.xScale) * a(3) + a(1);
    const h = 0.5 * Math.exp(e(2) / attrs.hScale) * a(2);
    const w = 0.5 * Math.exp(e(3) / attrs.wScale) * a(3);
    return [y - h, x - w, y + h, x + w].map(Math.fround) as unknown as Box;
  });
}

/** Classes of a box, best first; of equal scores the lower class goes first. */
function rankClasses(count: number, score: (c: number) => number): number[] {
  const order = Array.from({ length: count }, (_, c) => c);
  return order.sort((a, b) => score(b) - score(a) || a - b);
}

function evalDetection(
  ins: readonly Tensor[],
  attrs: DetectionPostprocessAttrs,
  outs: readonly TensorType[],
): readonly Tensor[] {
  const types = ins.map((t) => t.type);
  const plan = detectionPlan(types, attrs);
  const boxes = decodeBoxes(ins, plan, attrs);
  const scores = numbersOf(ins[1]!);
  const score = (i: number, c: number): number => scores[i * plan.scores + plan.background + c]!;
  const select = (most: number, of: (i: number) => number): number[] =>
    suppress(
      plan.boxes,
      most,
      (i) => of(i) >= attrs.scoreThreshold,
      of,
      (i) => boxes[i]!,
      attrs.iouThreshold,
    );
  const detections: Detection[] = [];
  let used: number;
  if (attrs.regular) {
    for (let c = 0; c < attrs.classes; c++) {
      for (const i of select(attrs.detectionsPerClass, (b) => score(b, c))) {
        detections.push({ box: i, class: c, score: score(i, c) });
      }
    }
    detections.sort((a, b) => b.score - a.score);
    detections.length = Math.min(detections.length, attrs.maxDetections);
    used = detections.length;
  } else {
    const ranked = boxes.map((_, i) => rankClasses(attrs.classes, (c) => score(i, c)));
    const kept = select(attrs.maxDetections, (i) => score(i, ranked[i]![0]!));
    for (const i of kept) {
      for (let m = 0; m < attrs.maxClassesPerDetection; m++) {
        const c = ranked[i]![m];
        detections.push(
          m < plan.perBox && c !== undefined
            ? { box: i, class: c, score: score(i, c) }
            : { box: -1, class: 0, score: 0 },
        );
      }
    }
    used = kept.length;
  }
  const row = (i: number): Detection => detections[i] ?? { box: -1, class: 0, score: 0 };
  const rows = Array.from({ length: plan.rows }, (_, i) => row(i));
  const none: Box = [0, 0, 0, 0];
  const columns = [
    rows.flatMap((d) => [...(boxes[d.box] ?? none)]),
    rows.map((d) => d.class),
    rows.map((d) => d.score),
    [used],
  ];
  return outs.map((t, i) => tensorOf("f32", t.shape, columns[i]!));
}

const plain: DetectionPostprocessAttrs = {
  maxDetections: 4,
  maxClassesPerDetection: 1,
  detectionsPerClass: 3,
  regular: false,
  scoreThreshold: 0.3,
  iouThreshold: 0.5,
  classes: 3,
  yScale: 10,
  xScale: 10,
  hScale: 5,
  wScale: 5,
};
const range = [0, 1] as const;
const ins = [f32t(1, 12, 4), f32t(1, 12, 4), f32t(12, 4)];

export const detectionPostprocess = defineOp<DetectionPostprocessAttrs>({
  name: "detection_postprocess",
  quant: "float",
  infer: inferDetection,
  eval: evalDetection,
  lower: lowerDetection,
  samples: [
    { ins, attrs: plain, range },
    { ins, attrs: { ...plain, maxClassesPerDetection: 2, maxDetections: 20 }, range },
    { ins, attrs: { ...plain, regular: true }, range },
    {
      ins: [
        quantised("u8", [1, 9, 4], 0.01, 128),
        quantised("u8", [1, 9, 3], 1 / 256, 0),
        f32t(9, 4),
      ],
      attrs: { ...plain, regular: true, maxDetections: 40 },
      range,
    },
  ],
});
