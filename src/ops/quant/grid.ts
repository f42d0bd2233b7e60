/**
 * @file What fake quantisers share: the grid of reals that integers in a range stand for, its checks, and its
 * arithmetic, which is that of quantise and dequantise (src/tensor/quant.ts) without the integers.
 */
import { add, binary, constant, div, mul, splat, sub, unary } from "../../kernel/build.ts";
import { type Expr, isVector, type KType } from "../../kernel/ir.ts";
import { channelOf } from "../../tensor/quant.ts";
import { numberReader, type Tensor, type TensorType, tensorType } from "../../tensor/tensor.ts";
import { clamp, roundHalfEven } from "../../util/math.ts";
import { expectOperands } from "../elementwise/factory.ts";
import { roundOf } from "../elementwise/unary-op.ts";
import { checkShape } from "../nn/access.ts";
import { expectAxis, expectInputs, refuse } from "../shape/check.ts";

export interface GridAttrs {
  /** The least and the largest integer. */
  readonly min: number;
  readonly max: number;
  /** The axis along which scale and zero point vary; null: both are scalars. */
  readonly axis: number | null;
}

/** Integers of biases; those of more than 24 bits are rounded in f32. */
const LIMIT = 2 ** 30;

export function expectRange(min: number, max: number): void {
  const whole = Number.isInteger(min) && Number.isInteger(max);
  if (whole && min <= 0 && max >= 0 && min < max && max <= LIMIT && -min <= LIMIT) return;
  refuse("E_MODEL", `integers from ${min} to ${max}: expected a range around 0 within 31 bits`);
}

/** Checks value, scale and zero point, and what else has the shape of the value. Gives the value's type. */
export function expectGrid(
  ins: readonly TensorType[],
  { min, max, axis }: GridAttrs,
  count: number,
): TensorType {
  expectInputs(ins, count);
  const dtype = expectOperands(ins, count, ["f32", "f64"]);
  const [x, scale, zero, ...others] = ins as readonly [TensorType, TensorType, TensorType];
  expectRange(min, max);
  if (axis !== null) expectAxis(axis, x.shape.length);
  const shape = axis === null ? [] : [x.shape[axis]!];
  checkShape("scale", scale, shape);
  checkShape("zero point", zero, shape);
  for (const t of others) checkShape("cotangent", t, x.shape);
  return tensorType(dtype, x.shape);
}

/** The types as operands that broadcast against the value. */
export function spread(ins: readonly TensorType[], axis: number | null): TensorType[] {
  const [x] = ins as readonly [TensorType];
  return ins.map((t, i) =>
    axis === null || (i !== 1 && i !== 2)
      ? t
      : tensorType(
          t.dtype,
          x.shape.map((n, k) => (k === axis ? n : 1)),
        ),
  );
}

/** One element of the value in steps of its scale, as `eval` sees it. */
export interface Steps {
  /** x / scale. */
  readonly u: number;
  readonly scale: number;
  readonly zero: number;
}

/** The steps of element i, rounded as kernels of the dtype do. */
export function stepsOf([x, s, z]: readonly Tensor[], axis: number | null): (i: number) => Steps {
  const [read, scales, zeros] = [x!, s!, z!].map(numberReader);
  const channel = channelOf(x!.type.shape, axis);
  const r = roundOf(x!.type.dtype);
  return (i) => {
    const c = channel(i);
    const scale = scales!(c);
    return { u: r(read!(i) / scale), scale, zero: zeros!(c) };
  };
}

/** The integer an element becomes, less its zero point. */
export const nearestStep = ({ u, zero }: Steps, { min, max }: GridAttrs): number =>
  clamp(roundHalfEven(u) + zero, min, max) - zero;

const like = (e: Expr, value: number): Expr => constant(e.type, value);

/** A scalar in every lane where its partner is a vector. */
export const asWide = (type: KType, e: Expr): Expr =>
  isVector(type) && !isVector(e.type) ? splat(type, e) : e;

/** The kernel forms: x / scale, the nearest integer before and after clamping. */
export const stepsExpr = (x: Expr, scale: Expr): Expr => div(x, scale);
export const roundExpr = (u: Expr, zero: Expr): Expr => add(unary("nearest", u), zero);
export const clampExpr = (q: Expr, { min, max }: GridAttrs): Expr =>
  binary("min", binary("max", q, like(q, min)), like(q, max));

/** (clamp(rne(x / scale) + zero) - zero) * scale. */
export const gridExpr = (x: Expr, scale: Expr, zero: Expr, attrs: GridAttrs): Expr =>
  mul(sub(clampExpr(roundExpr(stepsExpr(x, scale), zero), attrs), zero), scale);
