/** @file Short forms for the samples of this folder. */
import type { OutQuant } from "../../graph/op.ts";
import type { DType } from "../../tensor/dtype.ts";
import { type TensorType, tensorType } from "../../tensor/tensor.ts";

export const f32t = (...shape: number[]): TensorType => tensorType("f32", shape);
export const typed = (dtype: DType, ...shape: number[]): TensorType => tensorType(dtype, shape);

/** A type quantised per tensor. */
export const quantised = (
  dtype: DType,
  shape: readonly number[],
  scale: number,
  zeroPoint: number,
): TensorType =>
  tensorType(dtype, shape, { scale: [Math.fround(scale)], zeroPoint: [zeroPoint], axis: null });

/** A type quantised per index of an axis: scales from `scale` upward, zero points 0. */
export const perChannel = (
  dtype: DType,
  shape: readonly number[],
  axis: number,
  scale: number,
): TensorType => {
  const n = shape[axis]!;
  const scales = Array.from({ length: n }, (_, i) => Math.fround(scale * 1.7 ** (i % 12)));
  return tensorType(dtype, shape, { scale: scales, zeroPoint: scales.map(() => 0), axis });
};

export const outQuant = (dtype: DType, scale: number, zeroPoint: number): OutQuant => ({
  dtype,
  scale: [Math.fround(scale)],
  zeroPoint: [zeroPoint],
  axis: null,
});
