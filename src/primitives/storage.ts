/**
 * @file Weights that are stored smaller than they are computed with: half precision, 8-bit with scales, or hashed
 * (src/ops/nn/hashed-weights.ts), of which the vector is stored that they are made of.
 */
import type { Tensor, TensorType } from "../tensor/tensor.ts";
import { type Piece, packedPlaces, piecesOf } from "./hashed/pieces.ts";

/** Fewer bits an element. 8-bit: real = scale * q, scales along axis 0. */
export type ShortStorage =
  | { readonly dtype: "f16" | "bf16" }
  | { readonly dtype: "i8"; readonly scale: readonly number[] };

/** What makes a virtual tensor, before its elements are moved. */
export interface HashedSource {
  readonly dtype: "hashed";
  /** The vector, f32. */
  readonly weights: Tensor;
  /** How the model stores the vector, when smaller than f32. */
  readonly stored: ShortStorage | undefined;
  readonly seed: number;
  /** Elements in a row of the virtual tensor, and what the elements of each row are multiplied by (f32). */
  readonly row: number;
  readonly factors: Tensor | undefined;
}

/** A hashed value: where each of its elements is in the virtual tensor (i32). */
export interface HashedStorage extends HashedSource {
  readonly places: Tensor;
}

/** How the source model stores an f32 value known at compile time. */
export type WeightStorage = ShortStorage | HashedStorage;

/**
 * How a packed constant is stored. 8-bit: element e is q * scale[floor(e / block) * width + e % width], so
 * that the scales follow the channels through any packing in panels. Hashed: the pieces say what lies where.
 */
export type PackedStorage = PackedShort | PackedHashed;

export type PackedShort =
  | { readonly dtype: "f16" | "bf16" }
  | {
      readonly dtype: "i8";
      readonly scale: readonly number[];
      readonly block: number;
      readonly width: number;
    };

export interface PackedHashed extends HashedSource {
  readonly pieces: readonly Piece[];
}

/** Elements that are not worth the calls that write them. */
const FEWEST_HASHED = 64;

/** Hashed elements after `pack`; undefined where storing them as they are is simpler. */
function packedHashed(
  { places, ...source }: HashedStorage,
  pack: (values: Tensor) => Tensor,
): PackedHashed | undefined {
  if (places.data.length < FEWEST_HASHED) return undefined;
  const pieces = piecesOf(packedPlaces(places, pack));
  return pieces === null ? undefined : { ...source, pieces };
}

/** Storage of a constant that is used as it is. */
export function plainStorage(storage: WeightStorage, type: TensorType): PackedStorage | undefined {
  if (storage.dtype === "hashed") return packedHashed(storage, (t) => t);
  return plainShort(storage, type);
}

export function plainShort(storage: ShortStorage, type: TensorType): PackedShort {
  if (storage.dtype !== "i8") return storage;
  const count = type.shape.reduce((a, b) => a * b, 1);
  return { ...storage, block: Math.max(1, count / storage.scale.length), width: 1 };
}

/** How `pack` lays weights out: in blocks of `block` elements with `width` channels innermost. */
export interface Packing {
  /** Moves elements and fills gaps with zeros. */
  readonly pack: (weights: Tensor) => Tensor;
  readonly block: number;
  readonly width: number;
  /** One entry per channel of every block from the scale of a channel. */
  readonly order: (scaleOf: (channel: number) => number) => readonly number[];
}

/** Storage of packed weights; undefined: f32. */
export function packedStorage(
  storage: WeightStorage,
  { pack, block, width, order }: Packing,
): PackedStorage | undefined {
  if (storage.dtype === "hashed") return packedHashed(storage, pack);
  if (storage.dtype !== "i8") return storage;
  const { scale } = storage;
  const scales = order((o) => (scale.length === 1 ? scale[0]! : scale[o]!));
  return { dtype: "i8", scale: scales, block, width };
}
