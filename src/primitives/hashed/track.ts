/** @file Which known values are hashed: follows a virtual tensor through what moves its elements or scales its rows. */
import { evalTensors } from "../../graph/apply.ts";
import { isOp, type Node } from "../../graph/graph.ts";
import type { Op } from "../../graph/op.ts";
import { mul } from "../../ops/elementwise/mul.ts";
import { hashedWeights } from "../../ops/nn/hashed-weights.ts";
import { barrier } from "../../ops/shape/barrier.ts";
import { relayout } from "../../ops/shape/relayout.ts";
import { reshape } from "../../ops/shape/reshape.ts";
import { slice } from "../../ops/shape/slice.ts";
import { transpose } from "../../ops/shape/transpose.ts";
import {
  elementCount,
  sameShape,
  type Tensor,
  type TensorType,
  tensorOf,
  tensorType,
  toNumbers,
} from "../../tensor/tensor.ts";
import type { HashedStorage, WeightStorage } from "../storage.ts";

/** Bytes that must be saved: less is not worth the code that writes the weights. */
const LEAST_SAVED = 512;
/** Of what the virtual tensor takes, the share that may be stored. */
const MOST_SHARE = 0.9;

const MOVES: ReadonlySet<Op> = new Set(
  [barrier, relayout, reshape, slice, transpose].map((op) => op as unknown as Op),
);

/** The result of a node on known values, if it is hashed. `before`: how its inputs are stored. */
export function hashedAfter(
  node: Node,
  ins: readonly Tensor[],
  before: readonly (WeightStorage | undefined)[],
  type: TensorType,
): HashedStorage | undefined {
  if (type.dtype !== "f32" || type.quant !== undefined) return undefined;
  if (isOp(node, hashedWeights)) return virtualTensor(ins[0]!, before[0], node.attrs);
  const side = before.findIndex((s) => s?.dtype === "hashed");
  const from = before[side];
  if (from?.dtype !== "hashed") return undefined;
  if (isOp(node, mul) && ins.length === 2) return scaled(from, ins[1 - side]!, type);
  if (!MOVES.has(node.op) || ins.length !== 1) return undefined;
  const moved = tensorType("i32", type.shape);
  return { ...from, places: evalTensors(node.op, [from.places], node.attrs, [moved])[0]! };
}

function virtualTensor(
  weights: Tensor,
  stored: WeightStorage | undefined,
  { shape, seed }: { readonly shape: readonly number[]; readonly seed: number },
): HashedStorage | undefined {
  const [size, count] = [elementCount(shape), weights.data.length];
  if (stored?.dtype === "hashed" || count > MOST_SHARE * size) return undefined;
  if (4 * (size - count) < LEAST_SAVED) return undefined;
  const places: Tensor = {
    type: tensorType("i32", shape),
    data: Int32Array.from({ length: size }, (_, i) => i),
  };
  const row = elementCount(shape.slice(1));
  return { dtype: "hashed", weights, stored, seed, row, factors: undefined, places };
}

/** The value times one factor for each row of the virtual tensor; undefined where factors differ within rows. */
function scaled(
  from: HashedStorage,
  by: Tensor,
  { dtype, shape }: TensorType,
): HashedStorage | undefined {
  if (from.factors !== undefined || !sameShape(from.places.type.shape, shape)) return undefined;
  const size = elementCount(shape);
  const ones = tensorOf(dtype, shape, new Float32Array(size).fill(1));
  const [all] = evalTensors(mul, [ones, by], {}, [tensorType(dtype, shape)]);
  const each = toNumbers(all!);
  const places = from.places.data as Int32Array;
  const rows = Math.floor(places.reduce((most, p) => Math.max(most, p), 0) / from.row) + 1;
  const factors = new Float32Array(rows).fill(Number.NaN);
  for (let i = 0; i < size; i++) {
    const r = Math.floor(places[i]! / from.row);
    if (Number.isNaN(factors[r]!)) factors[r] = each[i]!;
    else if (factors[r] !== each[i]) return undefined;
  }
  return { ...from, factors: tensorOf("f32", [rows], factors) };
}
