/**
 * @file Quantisation of tensors: the conversions between reals and integers that docs/ir.md defines.
 * Every other place (interpreter, kernels, exporters) must agree with these functions bit for bit.
 */
import { clamp, roundHalfEven } from "../util/math.ts";
import { DTYPES, type DType } from "./dtype.ts";
import {
  elementCount,
  numberReader,
  numberWriter,
  type QuantParams,
  type Tensor,
  tensorType,
  zeros,
} from "./tensor.ts";

/** For element i of a tensor of this shape: which entry of the parameters applies. */
export function channelOf(shape: readonly number[], axis: number | null): (i: number) => number {
  if (axis === null) return () => 0;
  const inner = elementCount(shape.slice(axis + 1));
  const n = shape[axis]!;
  return (i) => Math.floor(i / inner) % n;
}

/** clamp(roundHalfEven(f32(x / scale)) + zeroPoint); NaN gives the zero point. */
export function quantizeValue(x: number, scale: number, zeroPoint: number, dtype: DType): number {
  const q = roundHalfEven(Math.fround(Math.fround(x) / scale));
  const { min, max } = DTYPES[dtype];
  return Number.isNaN(q) ? zeroPoint : clamp(q + zeroPoint, min, max);
}

/** f32(f32(q - zeroPoint) * scale); the difference is exact. */
export const dequantizeValue = (q: number, scale: number, zeroPoint: number): number =>
  Math.fround(Math.fround(q - zeroPoint) * scale);

export function quantizeTensor(t: Tensor, dtype: DType, quant: QuantParams): Tensor {
  const out = zeros(tensorType(dtype, t.type.shape, quant));
  const read = numberReader(t);
  const write = numberWriter(out);
  const channel = channelOf(t.type.shape, quant.axis);
  for (let i = 0; i < out.data.length; i++) {
    const c = channel(i);
    write(i, quantizeValue(read(i), quant.scale[c]!, quant.zeroPoint[c]!, dtype));
  }
  return out;
}

/** The f32 tensor a quantised one stands for. */
export function dequantizeTensor(t: Tensor): Tensor {
  const quant = t.type.quant;
  if (quant === undefined) return t;
  const out = zeros(tensorType("f32", t.type.shape));
  const read = numberReader(t);
  const channel = channelOf(t.type.shape, quant.axis);
  for (let i = 0; i < out.data.length; i++) {
    const c = channel(i);
    out.data[i] = dequantizeValue(read(i), quant.scale[c]!, quant.zeroPoint[c]!);
  }
  return out;
}
