/** @file Inputs for trying a model out: seeded random tensors of any type. */
import { DTYPES, isBig } from "./tensor/dtype.ts";
import {
  elementCount,
  numberWriter,
  type Tensor,
  type TensorType,
  zeros,
} from "./tensor/tensor.ts";
import { makeRng } from "./util/rng.ts";

/** Standard normal reals; quantised values over their whole range; plain integers 0 or 1, valid as indices. */
export function randomFeed(type: TensorType, seed: number): Tensor {
  const rng = makeRng(seed);
  const t = zeros(type);
  const write = numberWriter(t);
  const { kind, min, max } = DTYPES[type.dtype];
  const n = elementCount(type.shape);
  for (let i = 0; i < n; i++) {
    if (kind === "float") write(i, rng.normal());
    else if (type.quant !== undefined && !isBig(type.dtype)) write(i, min + rng.int(max - min + 1));
    else if (type.dtype === "u8" || type.dtype === "i8") write(i, rng.int(128));
    else write(i, rng.int(2));
  }
  return t;
}
