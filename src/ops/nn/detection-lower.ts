/** @file The default loop nest of detection_postprocess: decode, suppress, report. */
import {
  add,
  affine,
  binary,
  call,
  cast,
  f32,
  i32,
  KernelBuilder,
  max,
  mul,
  sub,
} from "../../kernel/build.ts";
import type { Buffer, Expr, Kernel } from "../../kernel/ir.ts";
import type { TensorType } from "../../tensor/tensor.ts";
import { declarePorts, type InPort, type OutPort } from "./access.ts";
import {
  type DetectionPlan,
  type DetectionPostprocessAttrs,
  detectionPlan,
} from "./detection-plan.ts";
import { type BoxExpr, suppressKernel } from "./suppression.ts";

/** What every part of the kernel needs. */
interface Context {
  readonly k: KernelBuilder;
  readonly attrs: DetectionPostprocessAttrs;
  readonly plan: DetectionPlan;
  readonly outs: readonly OutPort[];
  /** Decoded boxes, [N, 4], and a mark per box. */
  readonly decoded: Buffer;
  readonly alive: Buffer;
  /** Score of a box for a class. */
  score(box: Expr, c: Expr): Expr;
}

function decode(ctx: Context, encoded: InPort, anchors: InPort): void {
  const { k, attrs, plan, decoded } = ctx;
  k.for("i", 0, plan.boxes, (i) => {
    const from = k.let("from", mul(i, plan.coding));
    const to = k.let("to", mul(i, 4));
    const e = (j: number, scale: number): Expr =>
      binary("div", encoded.read(add(from, j)), f32(scale));
    const a = [0, 1, 2, 3].map((j) => k.let("a", anchors.read(add(to, j))));
    const centre = [
      add(mul(e(0, attrs.yScale), a[2]!), a[0]!),
      add(mul(e(1, attrs.xScale), a[3]!), a[1]!),
    ].map((v) => k.let("centre", v));
    const half = [
      mul(mul(f32(0.5), call("exp", e(2, attrs.hScale))), a[2]!),
      mul(mul(f32(0.5), call("exp", e(3, attrs.wScale))), a[3]!),
    ].map((v) => k.let("half", v));
    for (const j of [0, 1]) {
      k.store(decoded, add(to, j), sub(centre[j]!, half[j]!));
      k.store(decoded, add(to, j + 2), add(centre[j]!, half[j]!));
    }
  });
}

function boxOf({ k, decoded }: Context, i: Expr): BoxExpr {
  const base = k.let("base", mul(i, 4));
  const [a, b, c, d] = [0, 1, 2, 3].map((j) =>
    cast("f64", "promote", k.load(decoded, add(base, j))),
  ) as [Expr, Expr, Expr, Expr];
  return [a, b, c, d];
}

/** Suppression by a score; `keep` gets the boxes kept, best first. */
function select(
  ctx: Context,
  most: number,
  score: (i: Expr) => Expr,
  keep: (i: Expr) => void,
): void {
  const { k, attrs, plan, alive } = ctx;
  suppressKernel(k, {
    count: plan.boxes,
    most,
    alive,
    threshold: attrs.iouThreshold,
    candidate: (i) => binary("ge", score(i), f32(attrs.scoreThreshold)),
    score,
    box: (i) => boxOf(ctx, i),
    keep,
  });
}

/** Writes one row of the result. */
function report(ctx: Context, row: Expr, box: Expr, c: Expr, score: Expr): void {
  const { k, outs, decoded } = ctx;
  const from = k.let("from", mul(box, 4));
  const to = k.let("to", mul(row, 4));
  for (let j = 0; j < 4; j++) outs[0]!.store(add(to, j), k.load(decoded, add(from, j)));
  outs[1]!.store(row, cast("f32", "convert_s", c));
  outs[2]!.store(row, score);
}

/** The entry that comes next after (score, index) in falling order of scores; -1 for none. */
function nextBest(
  k: KernelBuilder,
  count: Expr | number,
  score: (i: Expr) => Expr,
  last: Expr,
): Expr {
  const found = k.reg("found", i32(-1));
  const previous = k.let("previous", score(max(last, 0)));
  k.for("i", 0, count, (i) => {
    const s = k.let("s", score(i));
    const equal = binary("and", binary("eq", s, previous), binary("gt", i, last));
    const after = binary("or", binary("lt", s, previous), equal);
    k.if(binary("or", binary("lt", last, 0), after), () => {
      const better = binary("gt", s, score(max(found, 0)));
      k.if(binary("or", binary("lt", found, 0), better), () => k.set(found, i));
    });
  });
  return found;
}

function fast(ctx: Context): void {
  const { k, attrs, plan, outs } = ctx;
  const top = k.buffer("top", "f32", Math.max(1, plan.boxes), "work");
  k.for("i", 0, plan.boxes, (i) => {
    const best = k.reg("best", ctx.score(i, i32(0)));
    k.for("c", 1, attrs.classes, (c) => {
      const s = k.let("s", ctx.score(i, c));
      k.if(binary("gt", s, best), () => k.set(best, s));
    });
    k.store(top, i, best);
  });
  const used = k.reg("used", 0);
  select(
    ctx,
    attrs.maxDetections,
    (i) => k.load(top, i),
    (i) => {
      const first = k.let("first", mul(used, attrs.maxClassesPerDetection));
      const last = k.reg("last", i32(-1));
      k.for("m", 0, plan.perBox, (m) => {
        const c = nextBest(k, attrs.classes, (j) => ctx.score(i, j), last);
        k.set(last, c);
        k.if(binary("ge", c, 0), () => report(ctx, add(first, m), i, c, ctx.score(i, c)));
      });
      k.set(used, add(used, 1));
    },
  );
  outs[3]!.store(i32(0), cast("f32", "convert_s", used));
}

function regular(ctx: Context): void {
  const { k, attrs, plan, outs } = ctx;
  const room = Math.max(1, attrs.classes * Math.min(attrs.detectionsPerClass, plan.boxes));
  const where = k.buffer("where", "i32", room, "work");
  const scores = k.buffer("scores", "f32", room, "work");
  const found = k.reg("count", 0);
  k.for("c", 0, attrs.classes, (c) => {
    const score = (i: Expr): Expr => ctx.score(i, c);
    select(ctx, attrs.detectionsPerClass, score, (i) => {
      k.store(where, found, affine([i, attrs.classes], c));
      k.store(scores, found, score(i));
      k.set(found, add(found, 1));
    });
  });
  const last = k.reg("last", i32(-1));
  const used = k.reg("used", 0);
  k.for("row", 0, attrs.maxDetections, (row) => {
    k.if(binary("lt", row, found), () => {
      const at = nextBest(k, found, (j) => k.load(scores, j), last);
      k.set(last, at);
      k.if(binary("ge", at, 0), () => {
        const key = k.let("key", k.load(where, at));
        const box = k.let("box", binary("div", key, attrs.classes));
        const c = k.let("c", sub(key, mul(box, attrs.classes)));
        report(ctx, row, box, c, k.load(scores, at));
        k.set(used, add(used, 1));
      });
    });
  });
  outs[3]!.store(i32(0), cast("f32", "convert_s", used));
}

export function lowerDetection(
  ins: readonly TensorType[],
  attrs: DetectionPostprocessAttrs,
  outs: readonly TensorType[],
): Kernel {
  const k = new KernelBuilder("detection_postprocess");
  const plan = detectionPlan(ins, attrs);
  const ports = declarePorts(k, ins, outs, "f32");
  const [encoded, scores, anchors] = ports.ins as [InPort, InPort, InPort];
  const ctx: Context = {
    k,
    attrs,
    plan,
    outs: ports.outs,
    decoded: k.buffer("decoded", "f32", Math.max(1, plan.boxes * 4), "work"),
    alive: k.buffer("alive", "u8", Math.max(1, plan.boxes), "work"),
    score: (i, c) => scores.read(affine([i, plan.scores], plan.background, c)),
  };
  for (const [i, size] of [plan.rows * 4, plan.rows, plan.rows].entries()) {
    k.for("i", 0, size, (at) => ports.outs[i]!.store(at, f32(0)));
  }
  decode(ctx, encoded, anchors);
  if (attrs.regular) regular(ctx);
  else fast(ctx);
  return k.build();
}
