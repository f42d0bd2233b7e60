/** @file Weights that are stored smaller than they are computed with: half precision, or 8-bit with scales. */
import type { TensorType } from "../tensor/tensor.ts";

/** How the source model stores an f32 value known at compile time. 8-bit: real = scale * q, scales along axis 0. */
export type WeightStorage =
  | { readonly dtype: "f16" | "bf16" }
  | { readonly dtype: "i8"; readonly scale: readonly number[] };

/**
 * How a packed constant is stored. 8-bit: element e is q * scale[floor(e / block) * width + e % width], so
 * that the scales follow the channels through any packing in panels.
 */
export type PackedStorage =
  | { readonly dtype: "f16" | "bf16" }
  | {
      readonly dtype: "i8";
      readonly scale: readonly number[];
      readonly block: number;
      readonly width: number;
    };

/** Storage of a constant that is used as it is. */
export function plainStorage(storage: WeightStorage, type: TensorType): PackedStorage {
  if (storage.dtype !== "i8") return storage;
  const count = type.shape.reduce((a, b) => a * b, 1);
  return { ...storage, block: Math.max(1, count / storage.scale.length), width: 1 };
}

/**
 * Storage of weights packed in blocks of `block` elements with `width` channels innermost; `order` gives
 * one entry per channel of every block from the scale of a channel.
 */
export function packedStorage(
  storage: WeightStorage,
  block: number,
  width: number,
  order: (scaleOf: (channel: number) => number) => readonly number[],
): PackedStorage {
  if (storage.dtype !== "i8") return storage;
  const { scale } = storage;
  const scales = order((o) => (scale.length === 1 ? scale[0]! : scale[o]!));
  return { dtype: "i8", scale: scales, block, width };
}
