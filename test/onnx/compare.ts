/** @file Compares results with expected tensors as the ONNX backend tests do. */
import { isFloat } from "../../src/tensor/dtype.ts";
import { numberReader, sameShape, type Tensor } from "../../src/tensor/tensor.ts";

const RELATIVE = { f64: 1e-3, f32: 1e-3, f16: 1e-2, bf16: 2e-2 } as const;

/** Null when equal within tolerance, otherwise what differs first. Integers are compared exactly. */
export function difference(got: Tensor, want: Tensor, absolute: number): string | null {
  if (got.type.dtype !== want.type.dtype) {
    return `dtype ${got.type.dtype}, expected ${want.type.dtype}`;
  }
  if (!sameShape(got.type.shape, want.type.shape)) {
    return `shape [${got.type.shape}], expected [${want.type.shape}]`;
  }
  const { dtype } = want.type;
  const rtol = isFloat(dtype) ? RELATIVE[dtype as keyof typeof RELATIVE] : 0;
  const atol = isFloat(dtype) ? (rtol > 1e-3 ? 1e-3 : absolute) : 0;
  const a = numberReader(got);
  const b = numberReader(want);
  for (let i = 0; i < want.data.length; i++) {
    if (!isFloat(dtype) ? got.data[i] === want.data[i] : close(a(i), b(i), rtol, atol)) continue;
    return `element ${i} is ${a(i)}, expected ${b(i)}`;
  }
  return null;
}

function close(a: number, b: number, rtol: number, atol: number): boolean {
  if (Object.is(a, b) || a === b) return true;
  if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) && Number.isNaN(b);
  return Math.abs(a - b) <= atol + rtol * Math.abs(b);
}
