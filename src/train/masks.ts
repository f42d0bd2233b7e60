/** @file Sparse training: masks that last beside the parameters they keep at 0, and that a loop may change. */
import type { Masks } from "../compress/sparsity/weights.ts";
import type { GraphBuilder, Value } from "../graph/graph.ts";
import { mul } from "../ops/elementwise/mul.ts";
import type { TypedArray } from "../tensor/dtype.ts";
import { type Tensor, tensorOf } from "../tensor/tensor.ts";
import { UserError } from "../util/errors.ts";
import { gradientName, scoreName } from "./sparse/update.ts";

/** The name of a parameter's mask among the state of a step. */
export const maskName = (parameter: string): string => `${parameter}:mask`;

/** The mask of a parameter as state; null: it has none. Throws UserError when the sizes differ. */
export function maskTensor(masks: Masks | undefined, name: string, of: Tensor): Tensor | null {
  const mask = masks?.get(name);
  if (mask === undefined) return null;
  if (mask.length !== of.data.length) {
    throw new UserError("E_ARGUMENT", `a mask of ${mask.length} for ${of.data.length} weights`, {
      where: name,
      hint: "masks belong to the model they were made for",
    });
  }
  return tensorOf("f32", of.type.shape, mask);
}

/** The value where the mask is 1, else 0. */
export const masked = (g: GraphBuilder, value: Value, mask: Value): Value =>
  g.apply(mul, [value, mask]);

/** The tensor with 0 where the mask is 0. */
export const maskedTensor = (t: Tensor, mask: Tensor): Tensor => ({
  type: t.type,
  data: (t.data as Float32Array).map((x, i) => (mask.data[i] === 0 ? 0 : x)),
});

/** A trainer's state with other masks and nothing else changed. Throws as `withMasks`. */
export function replaceMasks(
  state: ReadonlyMap<string, TypedArray>,
  masks: Masks,
): ReadonlyMap<string, TypedArray> {
  const next = new Map(state);
  for (const [name, mask] of masks) {
    const own = state.get(maskName(name));
    if (own === undefined || own.length !== mask.length) {
      throw new UserError("E_ARGUMENT", "the training step was made without a mask for it", {
        where: name,
        hint: "give the step masks for all parameters that are to be pruned, of ones at first",
      });
    }
    next.set(maskName(name), Float32Array.from(mask));
  }
  return next;
}

/**
 * A trainer's state under other masks, for `restore`: parameters, their averages and optimiser state are 0 where they
 * go; what comes back starts at 0. Throws UserError for a parameter that had no mask from the start.
 */
export function withMasks(
  state: ReadonlyMap<string, TypedArray>,
  masks: Masks,
): ReadonlyMap<string, TypedArray> {
  const next = new Map(replaceMasks(state, masks));
  for (const [name, mask] of masks) {
    const kept = [maskName(name), gradientName(name), scoreName(name)];
    for (const [key, data] of state) {
      if (key !== name && (!key.startsWith(`${name}:`) || kept.includes(key))) continue;
      if (data.length !== mask.length) continue;
      next.set(
        key,
        (data as Float32Array).map((x, i) => (mask[i] === 0 ? 0 : x)),
      );
    }
  }
  return next;
}
