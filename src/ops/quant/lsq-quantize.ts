/**
 * @file Fake quantisation with a learned scale (LSQ: Esser et al., ICLR 2020, arXiv:1902.08153). Forward as
 * fake_quantize. Backward, with u = x / scale and the range seen from the zero point [lo, hi]: x gets the cotangent
 * where lo <= u <= hi, the scale gets cotangent times (rne(u) - u inside, lo or hi outside).
 */
import { defineOp } from "../../graph/op.ts";
import {
  add,
  affine,
  and,
  binary,
  constant,
  extract,
  fma,
  KernelBuilder,
  mul,
  select,
  splat,
  sub,
  unary,
} from "../../kernel/build.ts";
import type { Buffer, Expr, Kernel, KType } from "../../kernel/ir.ts";
import {
  numberReader,
  numberWriter,
  type Tensor,
  type TensorType,
  tensorType,
  zeros,
} from "../../tensor/tensor.ts";
import { clamp, product, roundHalfEven } from "../../util/math.ts";
import { declare } from "../lowering.ts";
import { refuse } from "../shape/check.ts";
import { gridOp, gridSamples } from "./fake-quantize.ts";
import { expectGrid, type GridAttrs, stepsOf } from "./grid.ts";

export interface LsqAttrs extends GridAttrs {
  /** The factor of the scale's gradient: 1 / sqrt(n Q) for n elements that share a scale and range up to Q. */
  readonly gain: number;
}

/** As fake_quantize; the scale is a parameter. */
export const lsqQuantize = gridOp<LsqAttrs>("lsq_quantize", [0, 1], (attrs) => ({
  ...attrs,
  gain: 0.5,
}));

function evalBackward(
  ins: readonly Tensor[],
  attrs: GridAttrs,
  outs: readonly TensorType[],
): readonly Tensor[] {
  const [dx, rows] = outs.map(zeros) as [Tensor, Tensor];
  const steps = stepsOf(ins, attrs.axis);
  const ct = numberReader(ins[3]!);
  const write = numberWriter(dx);
  const inner = dx.data.length / rows.data.length;
  const sums = new Float64Array(rows.data.length);
  for (let i = 0; i < dx.data.length; i++) {
    const { u, zero } = steps(i);
    const [lo, hi] = [attrs.min - zero, attrs.max - zero];
    write(i, u >= lo && u <= hi ? ct(i) : 0);
    const slope = clamp(roundHalfEven(u), lo, hi) - (u > lo && u < hi ? u : 0);
    sums[Math.floor(i / inner)]! += ct(i) * slope;
  }
  sums.forEach((s, i) => {
    numberWriter(rows)(i, s);
  });
  return [dx, rows];
}

/** Registers of one width: what a row is divided by, and its range. */
interface Row {
  readonly type: KType;
  readonly scale: Expr;
  readonly lo: Expr;
  readonly hi: Expr;
}

/** The cotangent of x and the term of the sum of one element, or of four. */
function slopes(k: KernelBuilder, x: Expr, ct: Expr, { type, scale, lo, hi }: Row) {
  const none = constant(type, 0);
  const u = k.let("u", binary("div", x, scale));
  const touches = and(binary("ge", u, lo), binary("le", u, hi));
  const within = and(binary("gt", u, lo), binary("lt", u, hi));
  const q = binary("min", binary("max", unary("nearest", u), lo), hi);
  return { dx: select(touches, ct, none), slope: sub(q, select(within, u, none)) };
}

/** Vectors summed side by side. */
const PARTS = 4;

/** One row: writes dx, gives the sum. */
function rowSum(
  k: KernelBuilder,
  [x, ct, dx]: readonly [Buffer, Buffer, Buffer],
  base: Expr,
  inner: number,
  row: Row,
): Expr {
  const one = (at: Expr, r: Row, sum: Expr): void => {
    const up = k.let("ct", k.load(ct, at, r.type));
    const both = slopes(k, k.load(x, at, r.type), up, r);
    k.store(dx, at, both.dx);
    k.set(sum, fma(up, both.slope, sum));
  };
  const total = k.reg("sum", constant(row.type, 0));
  let done = 0;
  if (row.type === "f32" && inner >= 4) {
    const wide = (e: Expr): Expr => k.let("wide", splat("f32x4", e));
    const four: Row = {
      type: "f32x4",
      scale: wide(row.scale),
      lo: wide(row.lo),
      hi: wide(row.hi),
    };
    const parts = Math.min(PARTS, inner >> 2);
    const sums = Array.from({ length: parts }, () => k.reg("sums", constant("f32x4", 0)));
    const step = 4 * parts;
    done = inner - (inner % step);
    const block = (i: Expr): void => {
      for (const [p, sum] of sums.entries()) one(affine(base, i, 4 * p), four, sum);
    };
    k.for("i", 0, done, block, { step });
    const all = k.let("all", sums.reduce(add));
    k.set(total, [0, 1, 2, 3].map((lane) => extract(all, lane)).reduce(add));
  }
  k.for("i", done, inner, (i) => one(k.let("at", add(base, i)), row, total));
  return total;
}

function lowerBackward(
  ins: readonly TensorType[],
  attrs: GridAttrs,
  outs: readonly TensorType[],
): Kernel {
  const k = new KernelBuilder("lsq_quantize_backward");
  const buffers = declare(k, ins, outs);
  const [x, scale, zero, ct] = buffers.ins as [Buffer, Buffer, Buffer, Buffer];
  const [dx, rows] = buffers.outs as [Buffer, Buffer];
  const type = ins[0]!.dtype === "f64" ? "f64" : "f32";
  const inner = product(ins[0]!.shape.slice(1));
  k.forParallel("row", 0, ins[0]!.shape[0]!, (r) => {
    const at = attrs.axis === null ? 0 : r;
    const z = k.let("zero", k.load(zero, at));
    const row: Row = {
      type,
      scale: k.let("scale", k.load(scale, at)),
      lo: k.let("lo", sub(constant(type, attrs.min), z)),
      hi: k.let("hi", sub(constant(type, attrs.max), z)),
    };
    k.store(rows, r, rowSum(k, [x, ct, dx], k.let("base", mul(r, inner)), inner, row));
  });
  return k.build();
}

/**
 * Inputs: x, scale, zero point, the cotangent of the result; axis 0 or none. Results: the cotangent of x, and for
 * each index of axis 0 the sum of the scale's.
 */
export const lsqQuantizeBackward = defineOp<GridAttrs>({
  name: "lsq_quantize_backward",
  quant: "none",
  infer(ins, attrs) {
    const x = expectGrid(ins, attrs, 4);
    if (x.shape.length === 0) refuse("E_SHAPE", "expected a value of rank 1 or more");
    if (attrs.axis !== null && attrs.axis !== 0) {
      refuse("E_SHAPE", `the axis is ${attrs.axis}, expected 0 or none`);
    }
    return [x, tensorType(x.dtype, [x.shape[0]!])];
  },
  eval: evalBackward,
  lower: lowerBackward,
  inPlace: () => null,
  samples: [
    ...gridSamples(1),
    {
      ins: [[3, 37], [], [], [3, 37]].map((shape) => tensorType("f32", shape)),
      attrs: { min: 0, max: 15, axis: null },
      values: { 1: [0.06], 2: [0] },
    },
  ],
});
