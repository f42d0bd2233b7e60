/** @file f32 fully connected layer in blocks of rows and depth: for weights that exceed the caches. */
import { linear } from "../../ops/nn/linear.ts";
import { f32Im2rowPlan } from "../gemm/f32-im2row.ts";
import { linearGeometry } from "../gemm/geometry.ts";
import { gemmCandidate } from "../gemm/plan.ts";
import { definePrimitive } from "../primitive.ts";

export const linearF32Im2row = definePrimitive({
  name: "f32_linear_im2row",
  op: linear,
  candidates: ({ ins, attrs, constants, storage, caps }) => {
    const [x, w, bias] = ins;
    const weights = constants[1];
    if (x?.dtype !== "f32" || w?.dtype !== "f32" || weights === undefined) return [];
    if (bias !== undefined && constants[2] === undefined) return [];
    const geometry = linearGeometry(x, w.shape[0]!);
    if (geometry.ow === 0 || geometry.n === 0) return [];
    const found = f32Im2rowPlan({
      geometry,
      weights,
      bias: constants[2],
      residual: null,
      act: attrs.act,
      caps,
      weightStorage: storage[1],
    });
    return found === null ? [] : [gemmCandidate("f32_linear_im2row", "im2row", found)];
  },
});
