/** @file Checks and samples of the operators between quantised and real values. */
import type { OutQuant } from "../../graph/op.ts";
import { isInteger } from "../../tensor/dtype.ts";
import type { QuantParams, TensorType } from "../../tensor/tensor.ts";
import { tensorType } from "../../tensor/tensor.ts";
import { refuse } from "../shape/check.ts";

/** The quantised type of a result, its parameters checked against the shape. */
export function quantisedType(out: OutQuant, shape: readonly number[]): TensorType {
  const { dtype, scale, zeroPoint, axis } = out;
  if (!isInteger(dtype)) refuse("E_DTYPE", `a quantised value cannot be stored as ${dtype}`);
  if (axis !== null && !(Number.isInteger(axis) && axis >= 0 && axis < shape.length)) {
    refuse("E_SHAPE", `quantisation axis is ${axis}, the value has ${shape.length} axes`);
  }
  const want = axis === null ? 1 : shape[axis]!;
  if (scale.length !== want || zeroPoint.length !== want) {
    const got = `${scale.length} scales and ${zeroPoint.length} zero points`;
    refuse("E_SHAPE", `expected ${want} of each, got ${got}`);
  }
  return tensorType(dtype, shape, { scale, zeroPoint, axis });
}

/** The parameters of a type that must be quantised. */
export function expectQuant(t: TensorType): QuantParams {
  return t.quant ?? refuse("E_DTYPE", `expected a quantised value, got plain ${t.dtype}`);
}

export const perTensor = (scale: number, zeroPoint: number): QuantParams => ({
  scale: [Math.fround(scale)],
  zeroPoint: [zeroPoint],
  axis: null,
});

/** Sample parameters along an axis of n channels. */
export const perAxis = (n: number, axis: number): QuantParams => ({
  scale: Array.from({ length: n }, (_, i) => Math.fround(0.01 * (i + 1))),
  zeroPoint: Array.from({ length: n }, (_, i) => i - 2),
  axis,
});

/** The parameters after the axes have been permuted: new axis i is old axis perm[i]. */
export function permuteQuant(out: OutQuant, perm: readonly number[]): OutQuant {
  return out.axis === null ? out : { ...out, axis: perm.indexOf(out.axis) };
}
