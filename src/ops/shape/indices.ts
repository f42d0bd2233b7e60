/** @file Indices that are known only at run time: loaded as i32, wrapped when negative, kept in range. */
import {
  add,
  binary,
  cast,
  constant,
  type ExprLike,
  i32,
  type KernelBuilder,
  max,
  min,
  select,
} from "../../kernel/build.ts";
import type { Buffer, Expr } from "../../kernel/ir.ts";
import type { DType } from "../../tensor/dtype.ts";
import { type TensorType, tensorType } from "../../tensor/tensor.ts";

/** A scalar integer load as i32; i64 values are first brought into the range of i32. */
export function loadI32(k: KernelBuilder, buffer: Buffer, index: ExprLike): Expr {
  const value = k.load(buffer, index);
  if (value.type !== "i64") return value;
  const low = constant("i64", BigInt(-(2 ** 31)));
  const high = constant("i64", BigInt(2 ** 31 - 1));
  return cast("i32", "wrap", min(max(value, low), high));
}

/**
 * An index of an axis of `size` elements: negative counts from the end. What is out of range is clamped,
 * so that no kernel touches memory outside its buffers.
 */
export function loadIndex(k: KernelBuilder, buffer: Buffer, at: ExprLike, size: number): Expr {
  const value = k.let("raw", loadI32(k, buffer, at));
  const negative = binary("lt", value, i32(0));
  const wrapped = select(negative, add(value, size), value);
  return k.let("index", min(max(wrapped, i32(0)), i32(size - 1)));
}

/** Type of an index operand in samples. */
export const indexType = (shape: readonly number[], dtype: DType = "i64"): TensorType =>
  tensorType(dtype, shape);
