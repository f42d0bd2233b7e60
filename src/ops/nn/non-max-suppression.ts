/**
 * @file Selection of boxes per batch and class without strong overlaps, in a result of fixed size:
 * rows (batch, class, box), unused rows -1, and the number of rows used. Source: ONNX
 * NonMaxSuppression.
 */
import { defineOp, type Sample } from "../../graph/op.ts";
import {
  add,
  affine,
  binary,
  cast,
  f64,
  i32,
  i64,
  KernelBuilder,
  lt,
  mul,
  sub,
} from "../../kernel/build.ts";
import type { Expr, Kernel } from "../../kernel/ir.ts";
import { type Tensor, type TensorType, tensorType, zeros } from "../../tensor/tensor.ts";
import { checkCount, checkFloat, checkShape, declarePorts, numbersOf } from "./access.ts";
import { f32t } from "./samples.ts";
import { type Box, type BoxExpr, suppress, suppressKernel } from "./suppression.ts";

export interface NonMaxSuppressionAttrs {
  /** Rows of the result; boxes found after that many are lost. */
  readonly maxOutput: number;
  /** Boxes kept per batch and class. */
  readonly maxPerClass: number;
  readonly iouThreshold: number;
  /** Boxes take part whose score is greater. */
  readonly scoreThreshold: number;
  /** Boxes are (x, y, width, height) of the centre; otherwise two corners (y, x, y, x). */
  readonly centerPointBox: boolean;
}

/** Boxes [B, N, 4], scores [B, C, N]. */
function inferNonMaxSuppression(
  ins: readonly TensorType[],
  { maxOutput }: NonMaxSuppressionAttrs,
): readonly TensorType[] {
  checkCount(ins, 2, 2);
  checkFloat(...ins);
  const [boxes, scores] = ins as [TensorType, TensorType];
  const [batch, count] = [boxes.shape[0] ?? 0, boxes.shape[1] ?? 0];
  checkShape("boxes", boxes, [batch, count, 4]);
  checkShape("scores", scores, [batch, scores.shape[1] ?? 0, count]);
  return [tensorType("i64", [maxOutput, 3]), tensorType("i64", [1])];
}

function evalNonMaxSuppression(
  ins: readonly Tensor[],
  attrs: NonMaxSuppressionAttrs,
  outs: readonly TensorType[],
): readonly Tensor[] {
  const [boxes, scores] = [numbersOf(ins[0]!), numbersOf(ins[1]!)];
  const [batches, classes, count] = ins[1]!.type.shape as [number, number, number];
  const rows: number[][] = [];
  for (let n = 0; n < batches; n++) {
    const box = (i: number): Box => {
      const [a, b, c, d] = [0, 1, 2, 3].map((j) => boxes[(n * count + i) * 4 + j]!) as [
        number,
        number,
        number,
        number,
      ];
      return attrs.centerPointBox ? [b - d / 2, a - c / 2, b + d / 2, a + c / 2] : [a, b, c, d];
    };
    for (let c = 0; c < classes; c++) {
      const score = (i: number): number => scores[(n * classes + c) * count + i]!;
      const candidate = (i: number): boolean => score(i) > attrs.scoreThreshold;
      const most = Math.max(0, attrs.maxPerClass);
      const kept = suppress(count, most, candidate, score, box, attrs.iouThreshold);
      rows.push(...kept.map((i) => [n, c, i]));
    }
  }
  const [out, used] = outs.map(zeros) as [Tensor, Tensor];
  const flat = rows.slice(0, attrs.maxOutput).flat();
  out.data.forEach((_: number | bigint, i: number) => {
    out.data[i] = BigInt(flat[i] ?? -1);
  });
  used.data[0] = BigInt(flat.length / 3);
  return [out, used];
}

function lowerNonMaxSuppression(
  ins: readonly TensorType[],
  attrs: NonMaxSuppressionAttrs,
  outs: readonly TensorType[],
): Kernel {
  const k = new KernelBuilder("non_max_suppression");
  const ports = declarePorts(k, ins, outs, "f64");
  const [boxes, scores] = ports.ins.map((p) => p.read);
  const [batches, classes, count] = ins[1]!.shape as [number, number, number];
  const alive = k.buffer("alive", "u8", Math.max(1, count), "work");
  const used = k.reg("used", 0);
  const long = (e: Expr): Expr => cast("i64", "extend_s", e);
  k.for("i", 0, attrs.maxOutput * 3, (i) => ports.outs[0]!.store(i, i64(-1n)));
  k.for("n", 0, batches, (n) => {
    const box = (i: Expr): BoxExpr => {
      const base = k.let("base", mul(affine([n, count], i), 4));
      const [a, b, c, d] = [0, 1, 2, 3].map((j) => k.let("b", boxes!(add(base, j)))) as [
        Expr,
        Expr,
        Expr,
        Expr,
      ];
      if (!attrs.centerPointBox) return [a, b, c, d];
      const half = (e: Expr): Expr => mul(e, f64(0.5));
      return [sub(b, half(d)), sub(a, half(c)), add(b, half(d)), add(a, half(c))];
    };
    k.for("c", 0, classes, (c) => {
      const row = k.let("row", mul(affine([n, classes], c), count));
      const score = (i: Expr): Expr => scores!(add(row, i));
      suppressKernel(k, {
        count,
        most: attrs.maxPerClass,
        alive,
        threshold: attrs.iouThreshold,
        candidate: (i) => binary("gt", score(i), f64(attrs.scoreThreshold)),
        score,
        box,
        keep: (i) => {
          k.if(lt(used, attrs.maxOutput), () => {
            const at = k.let("at", mul(used, 3));
            [n, c, i].forEach((e, j) => {
              ports.outs[0]!.store(add(at, j), long(e));
            });
            k.set(used, add(used, 1));
          });
        },
      });
    });
  });
  ports.outs[1]!.store(i32(0), long(used));
  return k.build();
}

const plain: NonMaxSuppressionAttrs = {
  maxOutput: 8,
  maxPerClass: 3,
  iouThreshold: 0.4,
  scoreThreshold: 0.2,
  centerPointBox: false,
};
const range = [0, 1] as const;
const samples: readonly Sample<NonMaxSuppressionAttrs>[] = [
  { ins: [f32t(1, 10, 4), f32t(1, 2, 10)], attrs: plain, range },
  { ins: [f32t(2, 9, 4), f32t(2, 3, 9)], attrs: { ...plain, centerPointBox: true }, range },
  {
    ins: [f32t(1, 6, 4), f32t(1, 1, 6)],
    attrs: { ...plain, scoreThreshold: Number.NEGATIVE_INFINITY, maxPerClass: 6, iouThreshold: 0 },
    values: { 1: [0.5, 0.5, 0.9, 0.1, 0.9, 0.3] },
    range,
  },
];

export const nonMaxSuppression = defineOp<NonMaxSuppressionAttrs>({
  name: "non_max_suppression",
  quant: "float",
  infer: inferNonMaxSuppression,
  eval: evalNonMaxSuppression,
  lower: lowerNonMaxSuppression,
  samples,
});
